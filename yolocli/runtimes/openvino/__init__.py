"""OpenVINO: networks converted to its form, and made faster there."""
