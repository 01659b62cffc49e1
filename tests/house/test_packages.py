"""One workspace, one version, one changelog; every package says that it is typed."""

import re
import tomllib

RELEASE = re.compile(r"^## \[(?P<version>\d+\.\d+\.\d+)\]", re.MULTILINE)


def project(path):
    return tomllib.loads((path / "pyproject.toml").read_text("utf-8"))["project"]


def test_every_package_has_the_version_of_the_newest_release(tree):
    newest = RELEASE.search((tree.root / "CHANGELOG.md").read_text("utf-8"))
    assert newest, "CHANGELOG.md names no release"
    versions = {path.name: project(path)["version"] for path in [tree.root, *tree.packages()]}
    assert set(versions.values()) == {newest["version"]}, versions


def test_every_package_is_typed_and_described(tree):
    for package in tree.packages():
        (module,) = package.glob("outfitter_*/__init__.py")
        assert (module.parent / "py.typed").exists(), package.name
        assert project(package)["description"], package.name
        assert project(package)["license"] == "Apache-2.0", package.name


def test_every_package_needs_the_python_of_the_workspace(tree):
    wanted = project(tree.root)["requires-python"]
    assert {project(package)["requires-python"] for package in tree.packages()} == {wanted}


def test_the_contract_needs_nothing(tree):
    assert project(tree.root / "packages" / "contract")["dependencies"] == []


def test_every_folder_of_modules_is_a_room_with_a_sentence(tree):
    silent = [
        folder.relative_to(tree.root).as_posix()
        for folder in {module.path.parent for module in tree.sources()}
        if not (folder / "__init__.py").exists()
        or not (folder / "__init__.py").read_text("utf-8").strip().startswith('"""')
    ]
    assert not silent, f"say in __init__.py what these rooms are: {silent}"
