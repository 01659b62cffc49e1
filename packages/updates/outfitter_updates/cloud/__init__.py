"""boto3: the only room that knows an endpoint."""
