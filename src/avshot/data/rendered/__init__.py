"""Rendered videos whose class names say what is seen and heard."""
