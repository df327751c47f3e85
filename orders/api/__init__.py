"""The API of this app; a thin shell over its services and selectors."""
