"""Tests on a real Kubernetes: installed by helm, hurt as Kubernetes hurts, judged by histories."""
