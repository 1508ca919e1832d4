"""Side-by-side measurements; each script is run by hand and prints ratios with machine and versions."""
