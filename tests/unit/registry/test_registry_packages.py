import pytest
from outfitter_server.base.refusals import Conflict, NotFound, Validation

LOCATION = {"s3Location": {"bucket": "b", "key": "app-1.tar.gz"}}


async def test_a_version_from_draft_to_deletion(registry):
    registry.objects.add(("b", "app-1.tar.gz"))
    made = await registry("CreatePackage", packageName="app", description="d", tags={"k": "v"})
    assert made["packageArn"] == "arn:aws:iot:us-east-1:000000000000:package/app"
    created = await registry(
        "CreatePackageVersion",
        packageName="app",
        versionName="1.0",
        attributes={"sha256": "ab"},
        artifact=LOCATION,
    )
    assert created["status"] == "DRAFT"
    assert created["packageVersionArn"] == made["packageArn"] + "/version/1.0"
    registry.clock[0] += 1000
    await registry("UpdatePackageVersion", packageName="app", versionName="1.0", action="PUBLISH")
    shown = await registry("GetPackageVersion", packageName="app", versionName="1.0")
    assert (shown["status"], shown["attributes"]) == ("PUBLISHED", {"sha256": "ab"})
    assert shown["artifact"] == {"s3Location": {"bucket": "b", "key": "app-1.tar.gz", "version": None}}
    assert shown["lastModifiedDate"] - shown["creationDate"] == 1
    await registry("UpdatePackage", packageName="app", defaultVersionName="1.0")
    assert (await registry("GetPackage", packageName="app"))["defaultVersionName"] == "1.0"
    with pytest.raises(Validation, match="default"):
        await registry("DeletePackageVersion", packageName="app", versionName="1.0")
    await registry("UpdatePackage", packageName="app", unsetDefaultVersion=True)
    with pytest.raises(Validation, match="has versions"):
        await registry("DeletePackage", packageName="app")
    await registry("DeletePackageVersion", packageName="app", versionName="1.0")
    await registry("DeletePackageVersion", packageName="app", versionName="1.0")
    await registry("DeletePackage", packageName="app")
    await registry("DeletePackage", packageName="app")
    for operation, more in (("GetPackage", {}), ("GetPackageVersion", {"versionName": "1.0"})):
        with pytest.raises(NotFound):
            await registry(operation, packageName="app", **more)


async def test_an_artifact_must_be_in_the_store(registry):
    await registry("CreatePackage", packageName="app")
    with pytest.raises(Validation, match="no object"):
        await registry("CreatePackageVersion", packageName="app", versionName="1", artifact=LOCATION)
    registry.objects.add(("b", "app-1.tar.gz"))
    await registry("CreatePackageVersion", packageName="app", versionName="1", artifact=LOCATION)
    registry.objects.clear()
    with pytest.raises(Validation, match="no object"):
        await registry("UpdatePackageVersion", packageName="app", versionName="1", action="PUBLISH")
    shown = await registry("GetPackageVersion", packageName="app", versionName="1")
    assert shown["status"] == "DRAFT"
    await registry("UpdatePackageVersion", packageName="app", versionName="1", description="only words")


async def test_a_retry_finds_its_own_work(registry):
    package = {"packageName": "app", "clientToken": "t" * 36}
    assert await registry("CreatePackage", **package) == await registry("CreatePackage", **package)
    version = {"packageName": "app", "versionName": "1", "clientToken": "u" * 36}
    assert await registry("CreatePackageVersion", **version) == await registry(
        "CreatePackageVersion", **version
    )
    with pytest.raises(Conflict):
        await registry("CreatePackage", packageName="app", clientToken="x" * 36)
    with pytest.raises(Conflict):
        await registry("CreatePackageVersion", packageName="app", versionName="1")
    with pytest.raises(Validation, match="create it first"):
        await registry("CreatePackageVersion", packageName="other", versionName="1")


async def test_what_is_published_stands(registry):
    await registry("CreatePackage", packageName="app")
    await registry("CreatePackageVersion", packageName="app", versionName="1")
    with pytest.raises(Validation, match="draft"):
        await registry("UpdatePackage", packageName="app", defaultVersionName="1")
    with pytest.raises(Conflict):
        await registry("UpdatePackageVersion", packageName="app", versionName="1", action="DEPRECATE")
    await registry(
        "UpdatePackageVersion", packageName="app", versionName="1", attributes={"a": "1"}, action="PUBLISH"
    )
    with pytest.raises(Conflict):
        await registry("UpdatePackageVersion", packageName="app", versionName="1", attributes={"a": "2"})
    await registry("UpdatePackageVersion", packageName="app", versionName="1", recipe="r", action="DEPRECATE")
    shown = await registry("GetPackageVersion", packageName="app", versionName="1")
    assert (shown["recipe"], shown["attributes"], shown["status"]) == ("r", {"a": "1"}, "DEPRECATED")


async def test_listing_packages_and_versions(registry):
    for name in ("a", "b", "c"):
        await registry("CreatePackage", packageName=name)
    for number in range(5):
        await registry("CreatePackageVersion", packageName="b", versionName=f"1.{number}")
    for version in ("1.1", "1.3"):
        await registry("UpdatePackageVersion", packageName="b", versionName=version, action="PUBLISH")
    pages = registry.pages("ListPackages", "packageSummaries", maxResults=2)
    assert [[line["packageName"] for line in page] async for page in pages] == [["a", "b"], ["c"]]

    async def versions(**given):
        pages = registry.pages("ListPackageVersions", "packageVersionSummaries", maxResults=2, **given)
        return [line["versionName"] async for page in pages for line in page]

    assert await versions(packageName="b") == ["1.0", "1.1", "1.2", "1.3", "1.4"]
    assert await versions(packageName="b", status="PUBLISHED") == ["1.1", "1.3"]
    assert await versions(packageName="nowhere") == []
