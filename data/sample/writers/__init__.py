"""Writers that turn the readable sources of the sample corpus into office, PDF, e-book and mail files."""
