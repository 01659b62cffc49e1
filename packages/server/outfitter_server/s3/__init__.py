"""The door of the file store: S3's REST-XML on the shared port."""
