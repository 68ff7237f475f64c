"""Making images on this host: the base image, and the layers of a variant above it.

Two ways: the engine builds from a distribution's image, or mmdebstrap(1) makes trees of files from packages, and aibox
writes the image itself. The second needs no registry, starts no container, and gives the same image for the same files.
"""

import os
import shlex
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING

from aibox import assets, baseimage, imagefiles, imagelayer, imagevariants, jsonview, packages, runner, sbom, state
from aibox.engines.images import load, save
from aibox.errors import AiboxError

if TYPE_CHECKING:
    from aibox.enginecalls import EngineCalls
    from aibox.imagelayer import Layer
    from aibox.jsonview import Json
    from aibox.setupsteps import Setup

CONTAINER, BOOTSTRAP = "container build", "bootstrap"
LOCK = "image.lock"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as images and Debian name them
ARCHIVE_SECONDS = 900.0
LAYER_SECONDS = 1800.0
GETS: "dict[str, Json]" = {
    "Cmd": ["/bin/bash"], "Env": ["LANG=C.UTF-8"], "User": "1000:1000", "WorkingDir": "/workspace"
}  # fmt: skip


class Lock:
    """The versions that aibox ships a list of: of one suite and processor, with the date of the list."""

    def __init__(self, text: str) -> None:
        head, *rows = text.splitlines()
        _, self.suite, self.machine, self.epoch = head.split()
        self.versions = dict(row.split(" ") for row in rows)

    @property
    def pins(self) -> str:
        """As a file of preferences (apt_preferences(5))."""
        return "".join(
            f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n"
            for name, version in self.versions.items()
        )


def lock() -> Lock:
    """The lock that this aibox ships."""
    return Lock(assets.text(LOCK))


def local_name(setup: "Setup") -> str:
    """The local image of the variant that is configured."""
    return imagevariants.of_variant(baseimage.LOCAL_IMAGE, setup.context.config.variant)


def recipe_of(setup: "Setup") -> str:
    """What decides how the image of the variant is built, as one sum."""
    layers = imagevariants.variant(setup.context.config.variant).layers
    return baseimage.recipe(tuple(name for layer in layers for name in layer.packages))


class Making:
    """One image to be made.

    `anew`: also the base image below it, though one is here. `locked`: no package of another version than the lock's.
    """

    def __init__(self, setup: "Setup", calls: "EngineCalls", *, anew: bool, locked: bool = False) -> None:
        self.setup, self.calls = setup, calls
        self.variant = imagevariants.variant(setup.context.config.variant)
        self.reference = local_name(setup)
        self.start = baseimage.origin(setup.host.distribution)
        # a base image that is here may have later versions than the lock's
        self.anew = anew or locked or not self.variant.layers
        self.locked = locked
        self.lock = lock()

    def ways(self) -> list[tuple[str, Callable[[], None]]]:
        """The ways that lead there, the first to try first."""
        if self.locked:
            return [(BOOTSTRAP, self.bootstrap)]
        ways = [(CONTAINER, self.container), (BOOTSTRAP, self.bootstrap)]
        return ways[::-1] if self.variant.layers and runner.find_program("mmdebstrap") and self.start.suite else ways

    def described(self) -> list[str]:
        """What will be tried, for people."""
        base = self.start.base if not self.variant.layers else baseimage.LOCAL_IMAGE
        from_packages = f"build {self.reference} from {self.setup.host.distribution} {self.start.suite} packages"
        from_packages += f" of {self.lock.suite} as locked" if self.locked else ""
        said = {CONTAINER: f"build {self.reference} from {base}", BOOTSTRAP: from_packages}
        ways = [name for name, _ in self.ways() if name != BOOTSTRAP or self.start.suite]
        lines = [said[name] for name in ways]
        return [
            line if not number else f"else {line.replace(self.reference, 'it', 1)}" for number, line in enumerate(lines)
        ]

    def needs_base(self) -> bool:
        """Whether the base image has to be made first."""
        return self.anew or self.calls.image(baseimage.LOCAL_IMAGE) is None

    # The engine's way

    def container(self) -> None:
        """Build from a distribution's image. Raises engine-failed."""
        start, calls = self.start, self.calls
        if self.needs_base():
            if calls.image(start.base) is None:
                pull = [*calls.engine.argv, "pull", "--quiet", start.base]
                runner.checked(calls.run(pull, baseimage.PULL_SECONDS), "engine-failed")
            with tempfile.TemporaryDirectory(prefix="aibox-build-") as folder:
                for name in (baseimage.BUILD_FILE, baseimage.PACKAGES, baseimage.SETUP):
                    state.write_atomically(f"{folder}/{name}", assets.read(name), 0o644)
                self._build(baseimage.build(calls.engine, start.base, folder, baseimage.LOCAL_IMAGE))
            self.anew = False
        if self.variant.layers:
            with tempfile.TemporaryDirectory(prefix="aibox-build-") as folder:
                recipe = baseimage.layers_file([layer.packages for layer in self.variant.layers])
                state.write_atomically(f"{folder}/{baseimage.BUILD_FILE}", recipe.encode(), 0o644)
                state.write_atomically(f"{folder}/{baseimage.SETUP}", assets.read(baseimage.SETUP), 0o644)
                self._build(baseimage.build(calls.engine, baseimage.LOCAL_IMAGE, folder, self.reference))
        self._keep_sbom()

    def _build(self, argv: list[str]) -> None:
        runner.checked(self.calls.run(argv, LAYER_SECONDS), "engine-failed")

    # aibox's own way

    def bootstrap(self) -> None:
        """Make trees of files from packages, and images of them. Raises setup-failed, engine-failed, image-missing."""
        start, context = self.start, self.setup.context
        if not start.suite:
            raise AiboxError("image-missing", f"aibox has no bootstrap recipe for {self.setup.host.distribution}")
        if self.locked:
            self._require_lock()
        self.program = runner.find_program("mmdebstrap") or _install_mmdebstrap(self.setup)
        folder = f"{context.paths.data}/build"
        state.make_folder(folder)
        with tempfile.TemporaryDirectory(prefix="image-", dir=folder) as place:
            os.chmod(place, 0o755)  # noqa: S103 - mmdebstrap reads the script in a user namespace of its own
            self.place, self.script = place, f"{place}/{baseimage.SETUP}"
            state.write_atomically(self.script, assets.read(baseimage.SETUP), 0o644)
            pins = f"{place}/aibox-lock" if self.locked else ""
            if pins:
                state.write_atomically(pins, self.lock.pins.encode(), 0o644)
            self.archive = baseimage.Archive(context.config.mirror, shlex.quote(pins) if pins else "")
            if self.needs_base():
                tree = f"{place}/base.tar"
                self._run(
                    baseimage.bootstrap(
                        self.program, start, shlex.quote(self.script), tree, self.archive, root=self.setup.root
                    )
                )
                layer = imagelayer.plain(tree, f"{place}/base-layer.tar")
                config = imagelayer.configuration(self.machine, self.epoch, GETS)
                config = imagelayer.with_layer(config, layer, "aibox base image", self.epoch)
                os.unlink(tree)
                self._take(baseimage.LOCAL_IMAGE, config, [layer], layer.path)
                self.anew = False
                self._extend(config, [layer], layer.path)
            else:
                self._extend(*self._present())
        self._keep_sbom()

    @property
    def epoch(self) -> int:
        """The latest time that files of an image may have: the lock's, so that the day of a build does not show."""
        return int(self.lock.epoch)

    @property
    def machine(self) -> str:
        """This host's architecture, as an image names it."""
        return ARCHITECTURES.get(self.setup.host.machine, self.setup.host.machine)

    def _run(self, argv: list[str]) -> None:
        extra = {"DEBIAN_FRONTEND": "noninteractive", "SOURCE_DATE_EPOCH": self.lock.epoch}
        result = runner.run(argv, timeout=LAYER_SECONDS, env={**self.setup.context.env, **extra}, cwd="/")
        # the last error of mmdebstrap's says only that there was one, the first says which
        errors = [line for line in result.err.decode("utf-8", "replace").splitlines() if line.startswith("E: ")]
        if result.code != 0 and errors:
            raise AiboxError("setup-failed", f"mmdebstrap failed: {errors[0][3:]}", fix=runner.printable(argv))
        runner.checked(result, "setup-failed", fix=runner.printable(argv))

    def _present(self) -> "tuple[dict[str, Json], list[Layer], str]":
        """The base image that is here: its configuration, its layers, and its tree."""
        calls, saved, tree = self.calls, f"{self.place}/saved.tar", f"{self.place}/base.tar"
        runner.checked(calls.run(save(calls.engine, baseimage.LOCAL_IMAGE, saved), ARCHIVE_SECONDS), "engine-failed")
        config, layers = imagelayer.opened(saved, self.place)
        os.unlink(saved)
        if len(layers) == 1:
            return config, layers, imagelayer.plain(layers[0].path, tree).path
        with imagefiles.unstarted(calls, baseimage.LOCAL_IMAGE, ARCHIVE_SECONDS) as container:
            calls.change([*calls.engine.argv, "export", "--output", tree, container], timeout=ARCHIVE_SECONDS)
        return config, layers, self._bare(tree)

    def _extend(self, config: "dict[str, Json]", layers: "list[Layer]", tree: str) -> None:
        for layer in self.variant.layers:
            if layer is not self.variant.layers[0]:
                tree = self._bare(tree)
            self.setup.say(f"now: the layer {layer.name} ({', '.join(layer.packages)})")
            after = f"{self.place}/{layer.name}-tree.tar"
            argv = baseimage.extend(
                self.program,
                self.start,
                shlex.quote(self.script),
                (shlex.quote(tree), after),
                self.archive,
                wanted=layer.packages,
                root=self.setup.root,
            )
            self._run(argv)
            made = imagelayer.difference(tree, after, f"{self.place}/{layer.name}.tar")
            config = imagelayer.with_layer(config, made, f"aibox {layer.name}: {' '.join(layer.packages)}", self.epoch)
            layers = [*layers, made]
            if tree not in {one.path for one in layers}:
                os.unlink(tree)
            tree = after
        if self.variant.layers:
            self._take(self.reference, config, layers, tree)

    def _bare(self, tree: str) -> str:
        """The tree without what is in its /dev: mmdebstrap makes that itself, and fails at what is there already."""
        bare = f"{tree}.bare"
        imagelayer.plain(tree, bare)
        os.unlink(tree)
        return bare

    def _take(self, reference: str, config: "dict[str, Json]", layers: "list[Layer]", tree: str) -> None:
        """Hand an image to the engine. Raises engine-failed, or lock-differs before anything is changed."""
        if self.locked:
            self._require_same(tree)
        archive = f"{self.place}/image.tar"
        identifier = imagelayer.write(archive, reference, config, layers)
        calls, before = self.calls, self.calls.image(reference)
        runner.checked(calls.run(load(calls.engine, archive), ARCHIVE_SECONDS), "engine-failed")
        os.unlink(archive)
        found = calls.image(reference)
        if found is None or found.identifier != identifier:
            raise AiboxError("engine-failed", f"the engine did not take {reference} as it was made", fix="aibox doctor")
        if before and before.identifier != identifier:
            record = calls.image_record(before.identifier)
            if record and not jsonview.texts(record, "RepoTags"):  # nobody finds it again
                calls.run([*calls.engine.argv, "rmi", before.identifier])

    def _require_lock(self) -> None:
        here = f"{self.start.suite} on {self.machine}"
        there = f"{self.lock.suite} on {self.lock.machine}"
        if here != there:
            raise AiboxError(
                "lock-differs", f"the list of versions is for {there}, and here it would be {here}",
                fix="aibox image build, which takes today's packages",
            )  # fmt: skip

    def _require_same(self, tree: str) -> None:
        status = imagefiles.texts_of(tree)[imagefiles.STATUS]
        others = sbom.differing(sbom.installed(status), self.lock.versions)
        if others:
            raise AiboxError(
                "lock-differs",
                f"{len(others)} packages would not be of the locked versions",
                why=f"{'; '.join(others[:5])}{'; ...' if len(others) > 5 else ''}",
                fix="name an archive that still has them: aibox image build --locked --mirror URL",
            )

    def _keep_sbom(self) -> None:
        image = self.calls.image(self.reference)
        try:
            path = imagefiles.keep(
                self.setup.context.paths, self.calls, self.reference, image.identifier if image else ""
            )
            self.setup.say(f"SBOM: {path}")
        except AiboxError as error:
            self.setup.say(f"no SBOM: {error.what}")


def _install_mmdebstrap(setup: "Setup") -> str:
    commands = packages.apt_commands("mmdebstrap")
    if not setup.root:
        raise AiboxError(
            "setup-failed",
            "mmdebstrap is not installed, and only root can install it",
            fix="sudo apt-get install mmdebstrap",
        )
    for command in commands:
        setup.command(command)
    return "/usr/bin/mmdebstrap"
