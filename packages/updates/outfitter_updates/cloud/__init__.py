"""The only room that knows boto3, an endpoint or a credential."""
