# The one image of all services, and of the command line: `becket storage`, `becket router`, ...
#
# It needs nothing of its base but Python 3.11 or newer with venv. Where Python's headers are there too,
# as in the official images, the hot modules are compiled (setup.py); BECKET_COMPILE=1 insists on it,
# 0 leaves it. Packages come from where pip is set to look; the build arguments below say where else.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
WORKDIR /build

# What installs and what makes the wheel stands beside, so that nothing of it is in the image.
COPY requirements/build.txt requirements/
RUN python -m venv tool \
    && tool/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: \
        -r requirements/build.txt

# The same path as in the image: the scripts of an environment name their interpreter.
COPY requirements/image.txt requirements/
RUN python -m venv --without-pip /becket \
    && tool/bin/python -m pip --python /becket/bin/python install --no-cache-dir --no-compile \
        --require-hashes --only-binary :all: -r requirements/image.txt

# The compiler is told not to make code for this very processor, and links without the flags that the
# base's Python was linked with, of which it does not know all.
ARG BECKET_COMPILE=auto
ENV CC="/build/tool/bin/python -m ziglang cc -mcpu=baseline" \
    LDSHARED="/build/tool/bin/python -m ziglang cc -mcpu=baseline -shared" \
    ZIG_GLOBAL_CACHE_DIR=/build/zig
COPY pyproject.toml setup.py README.md LICENSE ./
COPY services services
RUN tool/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index \
        --wheel-dir wheels . \
    && tool/bin/python -m pip --python /becket/bin/python install --no-compile --no-deps \
        --no-index wheels/*.whl

# Tests and sources of compiled modules go. Bytecode is found by hash and not compared: it holds
# whatever layers make of the files' times, and nothing can be written beside it later.
RUN find /becket/lib -depth -type d \( -name tests -o -name test -o -name __pycache__ \) \
        -exec rm -rf {} + \
    && find /becket/lib -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \) \
        -delete \
    && /becket/bin/python -m compileall -q --invalidation-mode unchecked-hash /becket/lib

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="becket" \
    org.opencontainers.image.description="A replicated, linearizable key-value store" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /becket /becket
# GRPC_VERBOSITY: the core of gRPC writes text between the lines of JSON otherwise.
ENV PATH=/becket/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRPC_VERBOSITY=NONE \
    HOME=/tmp
WORKDIR /tmp
USER 10001:10001
EXPOSE 7400 7480
STOPSIGNAL SIGTERM
ENTRYPOINT ["becket"]
