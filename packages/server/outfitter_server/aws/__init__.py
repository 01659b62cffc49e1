"""The only importer of botocore: operations, parsing, validation and serialising of AWS's wire formats."""
