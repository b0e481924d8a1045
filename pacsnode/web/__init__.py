"""DICOMweb (PS3.18): store, search and retrieve over HTTP, and the login before it."""
