"""Event invocations: queued durably, run in the background, and left behind by no crash."""

import io
import json
import zipfile

ROLE = "arn:aws:iam::000000000000:role/worker"

# Writes an object a call, so that what ran can be counted after any crash; waits where a test wants it to be under way.
WRITER = """
import os, time, uuid
import boto3

def handler(event, context):
    s3 = boto3.client("s3")
    s3.put_object(Bucket="events", Key=f"{event['n']}/{uuid.uuid4()}", Body=context.aws_request_id.encode())
    if event.get("slow"):
        try:
            s3.head_object(Bucket="events", Key="go")
        except s3.exceptions.ClientError:
            time.sleep(600)
    return None
"""


def archive(source):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("app.py", source)
    return made.getvalue()


def create(server):
    client = server.client("lambda")
    server.client("s3").create_bucket(Bucket="events")  # the owner's second time is a success
    client.create_function(
        FunctionName="writer",
        Runtime="python3.11",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": archive(WRITER)},
        Timeout=900,
        MemorySize=256,
    )
    return client


def seen(server, number):
    listing = server.client("s3").list_objects_v2(Bucket="events", Prefix=f"{number}/")
    return listing.get("KeyCount", 0)


def queue(client, **event):
    answer = client.invoke(FunctionName="writer", InvocationType="Event", Payload=json.dumps(event))
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""


def test_events_run_once_each(own_server, eventually):
    client = create(own_server)
    for number in range(12):
        queue(client, n=number)
    eventually(lambda: all(seen(own_server, number) for number in range(12)), 60)
    assert [seen(own_server, number) for number in range(12)] == [1] * 12


def test_events_survive_the_death_of_the_server(own_server, eventually):
    client = create(own_server)
    for number in range(8):
        queue(client, n=number, slow=True)
    eventually(lambda: seen(own_server, 0), 60)
    own_server.kill()
    own_server.start()
    own_server.client("s3").put_object(Bucket="events", Key="go", Body=b"")
    eventually(lambda: all(seen(own_server, number) for number in range(8)), 90)


def test_events_of_a_deleted_function_go_with_it(own_server, eventually):
    client = create(own_server)
    for number in range(6):
        queue(client, n=number, slow=True)
    eventually(lambda: seen(own_server, 0), 60)
    client.delete_function(FunctionName="writer")
    own_server.kill()
    own_server.start()
    own_server.client("s3").put_object(Bucket="events", Key="go", Body=b"")
    client = create(own_server)
    queue(client, n=100)
    eventually(lambda: seen(own_server, 100), 60)
    assert seen(own_server, 5) == 0
