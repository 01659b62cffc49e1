"""The door for objects: S3's REST-XML on the https port."""
