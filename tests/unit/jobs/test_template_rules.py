import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.jobs.configs import Configs, Rollout, Schedule, Window
from outfitter_server.jobs.managed_templates import MANAGED, managed_template, managed_template_of
from outfitter_server.jobs.templates import (
    NO_TEMPLATE,
    Template,
    configs_for_template,
    filled_document,
    stand_in_document,
    template_of,
)
from outfitter_server.jobs.values import Job, JobStatus, TargetSelection

OWN = Template(id="t", description="d", document='{"operation":"x"}')
PLACEHOLDER = re.compile(r"\$\{aws:iot:parameter:([a-zA-Z0-9_-]+)\}")


@pytest.mark.parametrize("name", MANAGED)
def test_a_managed_template_is_whole(name):
    template = MANAGED[name]
    keys = [parameter.key for parameter in template.parameters]
    assert len(set(keys)) == len(keys)
    assert set(PLACEHOLDER.findall(template.document)) == set(keys)
    assert all(re.fullmatch(parameter.regex, parameter.example) for parameter in template.parameters)
    (step,) = json.loads(template.document)["steps"]
    assert f"AWS-{step['action']['name']}" == name
    required = {parameter.key for parameter in template.parameters if not parameter.optional}
    arguments = step["action"]["input"].get("args", [])
    assert {PLACEHOLDER.fullmatch(argument)[1] for argument in arguments} <= required
    assert template.arn("eu-north-1") == f"arn:aws:iot:eu-north-1::jobtemplate/{name}:1.0"
    assert managed_template_of(template.arn("eu-north-1")) is template


def test_the_reference_page_tells_the_same():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "job-templates.md").read_text("utf-8")
    rows = re.findall(r"^\| `(AWS-[^`]+)` \|[^|]+\|([^|]*)\|([^|]*)\|$", page, re.MULTILINE)
    told = {name: [re.findall(r"`(\w+)`", cell) for cell in cells] for name, *cells in rows}
    assert told == {
        name: [
            [parameter.key for parameter in template.parameters if parameter.optional is optional]
            for optional in (False, True)
        ]
        for name, template in MANAGED.items()
    }


def test_managed_templates_are_listed_by_name():
    assert list(MANAGED) == sorted(MANAGED)
    assert set(MANAGED) == {
        f"AWS-{action}"
        for action in (
            "Download-File",
            "Install-Application",
            "Reboot",
            "Remove-Application",
            "Restart-Application",
            "Run-Command",
            "Start-Application",
            "Stop-Application",
        )
    }


@pytest.mark.parametrize(("name", "version"), [("AWS-Nothing", None), ("AWS-Reboot", "2.0")])
def test_what_is_no_managed_template(name, version):
    with pytest.raises(NotFound, match=name):
        managed_template(name, version)
    with pytest.raises(NotFound, match=name):
        managed_template_of(f"arn:aws:iot:us-east-1::jobtemplate/{name}:{version or '1.0'}")


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iot:us-east-1:000000000000:jobtemplate/AWS-Reboot",
        "arn:aws:iot:us-east-1::jobtemplate/AWS-Reboot",
        "arn:aws:iot:us-east-1::job/AWS-Reboot:1.0",
        "AWS-Reboot",
    ],
)
def test_other_arns_are_left_to_others(arn):
    assert managed_template_of(arn) is None


def filled(name, own=False, **parameters):
    return json.loads(filled_document(template_of(MANAGED[name]), parameters, own=own))


def test_parameters_go_into_the_document_and_what_is_left_out_is_empty():
    action = filled("AWS-Download-File", downloadUrl="https://here/a?b=c", filePath='/tmp/"quoted"\\')
    assert action["steps"][0]["action"] == {
        "name": "Download-File",
        "type": "runHandler",
        "input": {
            "handler": "download-file.sh",
            "args": ["https://here/a?b=c", '/tmp/"quoted"\\'],
            "path": "",
        },
        "runAsUser": "",
    }
    action = filled("AWS-Run-Command", command="echo,ok", runAsUser="root")
    assert action["steps"][0]["action"]["input"] == {"command": "echo,ok"}
    assert action["steps"][0]["action"]["runAsUser"] == "root"
    assert "args" not in filled("AWS-Reboot")["steps"][0]["action"]["input"]


def test_a_value_is_no_template():
    command = "${aws:iot:parameter:runAsUser}"
    action = filled("AWS-Run-Command", command=command, runAsUser="root")
    assert action["steps"][0]["action"]["input"] == {"command": command}


@given(
    st.text(st.characters(exclude_categories=("C",)), min_size=1),
    st.text(st.characters(exclude_categories=("C",)), max_size=256),
)
def test_every_value_arrives_as_it_was_given(command, user):
    (step,) = filled("AWS-Run-Command", command=command, runAsUser=user)["steps"]
    assert (step["action"]["input"]["command"], step["action"]["runAsUser"]) == (command, user)


@pytest.mark.parametrize(
    ("template", "parameters", "own", "words"),
    [
        (template_of(MANAGED["AWS-Download-File"]), {"downloadUrl": "u"}, False, "filePath"),
        (template_of(MANAGED["AWS-Reboot"]), {"speed": "high"}, False, "speed"),
        (template_of(MANAGED["AWS-Reboot"]), {"runAsUser": "u" * 257}, False, "runAsUser"),
        (template_of(MANAGED["AWS-Reboot"]), {"runAsUser": "root"}, True, "no document"),
        (OWN, {"runAsUser": "root"}, False, "managed"),
        (NO_TEMPLATE, {"runAsUser": "root"}, False, "managed"),
    ],
)
def test_parameters_that_do_not_fit(template, parameters, own, words):
    with pytest.raises(InvalidRequest, match=words):
        filled_document(template, parameters, own=own)


def test_a_document_of_ones_own_takes_the_place_of_the_templates():
    assert filled_document(OWN, {}, own=False) == OWN.document
    assert filled_document(OWN, {}, own=True) is None
    assert filled_document(NO_TEMPLATE, {}, own=False) is None
    assert filled_document(template_of(MANAGED["AWS-Run-Command"]), {}, own=True) is None


def test_a_template_from_a_job_takes_no_times_that_pass():
    windows = (Window(cron="cron(0 2 * * ? *)", duration_minutes=60),)
    configs = Configs(
        rollout=Rollout(maximum_per_minute=5),
        schedule=Schedule(start_at=1, start_text="2026-01-01 00:00", windows=windows),
        template_arn="arn",
        document_parameters={"a": "b"},
        packages=("arn",),
        installs=(("p", "1"),),
    )
    job = Job(
        seq=1,
        id="j",
        status=JobStatus.SCHEDULED,
        selection=TargetSelection.CONTINUOUS,
        created_at=0,
        updated_at=0,
        configs=configs,
    )
    assert configs_for_template(job) == Configs(
        rollout=Rollout(maximum_per_minute=5), schedule=Schedule(windows=windows), packages=("arn",)
    )


def test_packages_are_looked_up_later_and_malformed_ones_refused_at_once():
    document = json.dumps(
        {
            "all": "${aws:iot:package:app:version:1:attributes}",
            "url": "${aws:iot:package:app:version:$default:artifact:s3-presigned-url}",
            "one": "app ${aws:iot:package:::attributes:sum}".replace(":::", "::version::"),
            "gone": None,
        }
    )
    stand_in = json.loads(stand_in_document(document))
    assert (stand_in["all"], stand_in["one"]) == ({}, "app value")
    assert stand_in["url"].startswith("${aws:iot:s3-presigned-url-v2:")
    for broken in (
        "${aws:iot:package:app}",
        "${aws:iot:package:app:version:1:colour}",
        "x${aws:iot:package:app:version:1:attributes}",
    ):
        with pytest.raises(InvalidRequest, match="document"):
            stand_in_document(json.dumps({"a": broken}))
    with pytest.raises(InvalidRequest, match="11 placeholders"):
        stand_in_document(json.dumps({str(n): "${aws:iot:package:::}" for n in range(11)}))
    with pytest.raises(InvalidRequest, match="JSON"):
        stand_in_document("{")
