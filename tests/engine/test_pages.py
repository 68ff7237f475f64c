"""Every command of the tutorial and of the how-to page is run, in order, as a reader would type it."""

import re
import shlex

import pytest
from machines import ROOT, Machine

# what would change this host, or needs the source tree that the machine does not see
NOT_HERE = ("apt-get install", "build_zipapp.py", "/usr/local/share/")
REFUSED = ("unshare -U", "touch /etc/x")
CONFIGURED = "```yaml\n(.*?)```"


def blocks(page: str) -> list[str]:
    """The shell blocks of a page, and the commands of its CI job."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    job = re.findall(r"^    - (.*)$", "".join(re.findall(CONFIGURED, text, re.DOTALL)), re.MULTILINE)
    return [*re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL), *(f"{line}\n" for line in job)]


def run(machine: Machine, page: str) -> list[tuple[str, int, str]]:
    """Each command of a page with its exit code and output, all in one shell with the artifact in its path."""
    lines = [
        line for block in blocks(page) if not any(word in block for word in NOT_HERE) for line in block.splitlines()
    ]
    script = [f"PATH={machine.home}/bin:$PATH", 'cd "$HOME/project"']
    for line in lines:
        script += [f"{{ {line}\n}} 2>&1", 'echo "@@ $?"']
    done = machine.run(["sh", "-c", "\n".join(script)], timeout=900)
    outputs = re.split(r"^@@ ([0-9]+)$", done.out, flags=re.MULTILINE)
    assert len(outputs) == 2 * len(lines) + 1, str(done)
    return [(line, int(outputs[2 * at + 1]), outputs[2 * at]) for at, line in enumerate(lines)]


@pytest.fixture
def reader(machine: Machine) -> Machine:
    """A machine whose user has aibox in the path, and a project with a Makefile and a repository."""
    home = shlex.quote(machine.home)
    own = f"chown -R {machine.uid}:{machine.uid}"
    done = machine.run(
        ["sh", "-c", f"""set -e; cd {home}; mkdir -p bin project; ln -sf {machine.zipapp} bin/aibox
        printf 'test:\\n\\ttrue\\n' > project/Makefile; git init -q project
        {own} bin project"""], root=True,
    )  # fmt: skip
    assert done.code == 0, str(done)
    author = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["add", "Makefile"], [*author, "commit", "--quiet", "--message", "first"]):
        committed = machine.run(["git", "-C", f"{machine.home}/project", *words])
        assert committed.code == 0, str(committed)
    return machine


@pytest.mark.parametrize(
    ("machine", "page"),
    # the how-to page is for administrators, too
    [
        ("rootful-2024", "tutorial.md"),
        ("rootless-2024", "tutorial.md"),
        ("rootful-2024", "how-to.md"),
        ("docker-2024", "docker.md"),
    ],
    indirect=["machine"],
)
def test_the_commands_of_a_page_work(reader: Machine, page: str) -> None:
    policy = ""
    if page == "how-to.md":
        text = (ROOT / "docs" / page).read_text("utf-8")
        policy = re.findall(CONFIGURED, text, re.DOTALL)[0].replace("[/home,", f"[{reader.home}, /home,")
        reader.write("/etc/aibox/policy.yaml", policy.replace("harbor.internal]", "harbor.internal, localhost]"))
    try:
        for line, code, output in run(reader, page):
            expected = code != 0 if any(word in line for word in REFUSED) else code == 0
            assert expected, f"{line}: exit code {code}\n{output}"
            assert "Traceback" not in output
    finally:
        reader.run(["rm", "-f", "/etc/aibox/policy.yaml"], root=True)
        reader.aibox("destroy", "--all", "--yes")
