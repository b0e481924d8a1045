"""DICOMweb (PS3.18): store, search and retrieve over HTTP, on loopback, for there is no login."""
