import errno
import os
import resource
import shutil
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.adapter_folder import BASE, BASE_DIGEST, config, manifest_of, matrices, write_adapter

from teller.adapters.manifest import signed
from teller.adapters.registry import Registry
from teller.adapters.weights import MODEL_FILE
from teller.errors import InputError, StoreCorrupt, StoreError
from teller.stores.signing import Ed25519Signer

FILES = ["adapter_config.json", MODEL_FILE, "manifest.json"]


@pytest.fixture
def signer(tmp_path):
    return Ed25519Signer(tmp_path / "keys")


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "adapters")


def _source(tmp_path, signer, name="banking-lora", seed=1):
    return write_adapter(tmp_path / f"made-{name}-{seed}", tensors=matrices(seed), name=name, signer=signer)


def _everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != ".lock")


def test_an_imported_version_is_found_verified_and_read_only(tmp_path, registry, signer):
    installed = registry.import_folder(_source(tmp_path, signer), "banking-lora")
    assert installed.folder == tmp_path / "adapters" / "banking-lora" / installed.digest
    assert installed.served == f"banking-lora@{installed.digest[:12]}"
    assert registry.verify(installed, signer, base=BASE, base_digest=BASE_DIGEST).rank == 4
    assert registry.manifest(installed).name == "banking-lora"
    assert sorted(path.name for path in installed.folder.iterdir()) == sorted(FILES)
    assert stat.S_IMODE(installed.folder.stat().st_mode) == 0o500
    assert {stat.S_IMODE(path.stat().st_mode) for path in installed.folder.iterdir()} == {0o400}


def test_the_same_content_twice_is_one_version_and_other_content_another(tmp_path, registry, signer):
    first = registry.import_folder(_source(tmp_path, signer), "banking-lora")
    assert registry.import_folder(_source(tmp_path, signer), "banking-lora") == first
    second = registry.import_folder(_source(tmp_path, signer, seed=2), "banking-lora")
    assert set(registry.versions("banking-lora")) == {first, second}
    assert registry.find("banking-lora") == registry.versions("banking-lora")[0]
    assert len(_everything(tmp_path / "adapters")) == 1 + 2 * 4


def test_a_version_is_found_by_its_served_name_and_by_a_prefix(tmp_path, registry, signer):
    first = registry.import_folder(_source(tmp_path, signer), "banking-lora")
    second = registry.import_folder(_source(tmp_path, signer, seed=2), "banking-lora")
    for version in (first, second):
        assert registry.find(version.served) == version
        assert registry.find(f"banking-lora@{version.digest}") == version


@pytest.mark.parametrize(
    "reference", ["nobody", "banking-lora@0000", "banking-lora@", "banking-lora@abc", "banking-lora@../..", "../x", ""]
)
def test_what_is_not_installed_is_refused(tmp_path, registry, signer, reference):
    registry.import_folder(_source(tmp_path, signer), "banking-lora")
    with pytest.raises(InputError):
        registry.find(reference)


def test_a_prefix_of_two_versions_is_refused_and_both_are_named(tmp_path, registry):
    for end in "12":
        (tmp_path / "adapters" / "x" / ("abcd" + end * 60)).mkdir(parents=True)
    with pytest.raises(InputError, match="2 versions begin so; installed: x@abcd1"):
        registry.find("x@abcd")


def test_a_name_within_another_name_is_another_adapter(tmp_path, registry, signer):
    names = ["bank", "bank-fraud", "banking"]
    kept = {name: registry.import_folder(_source(tmp_path, signer, name), name) for name in names}
    assert registry.names() == tuple(names)
    registry.remove(kept["bank"])
    assert registry.names() == ("bank-fraud", "banking")
    for name in names[1:]:
        assert registry.find(name) == kept[name]
        registry.verify(kept[name], signer)


@pytest.mark.parametrize("name", ["../outside", "/etc", "a/b", "", ".", "..", "A", "x" * 64, ".lock", "a\0b"])
def test_no_name_leads_out_of_the_registry(tmp_path, registry, signer, name):
    source = _source(tmp_path, signer)
    before = _everything(tmp_path)
    for act in (lambda: registry.import_folder(source, name), lambda: registry.versions(name)):
        with pytest.raises(InputError, match="name"):
            act()
    assert _everything(tmp_path) == before


@given(st.text(max_size=80))
def test_any_reference_finds_nothing_outside(tmp_path_factory, reference):
    folder = tmp_path_factory.mktemp("registry")
    with pytest.raises(InputError):
        Registry(folder / "adapters").find(reference)
    assert list(folder.iterdir()) == []


def test_a_linked_folder_in_the_registry_is_refused_and_left_alone(tmp_path, registry, signer):
    outside = tmp_path / "outside"
    (outside / ".partial-x").mkdir(parents=True)
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "banking-lora").symlink_to(outside)
    for act in (
        lambda: registry.import_folder(_source(tmp_path, signer), "banking-lora"),
        lambda: registry.find("banking-lora"),
    ):
        with pytest.raises(StoreCorrupt, match="symlink"):
            act()
    assert registry.names() == ()
    assert (outside / ".partial-x").exists()


@pytest.mark.parametrize("name", [*FILES, "extra"])
def test_a_source_with_a_link_is_refused(tmp_path, registry, signer, name):
    source = _source(tmp_path, signer)
    secret = tmp_path / "secret"
    shutil.copy(source / name, secret) if name != "extra" else secret.write_text("")
    (source / name).unlink(missing_ok=True)
    (source / name).symlink_to(secret)
    with pytest.raises(InputError, match="a symlink"):
        registry.import_folder(source, "banking-lora")
    assert _everything(tmp_path / "adapters") == []


def test_a_pickle_in_the_source_is_refused(tmp_path, registry, signer):
    source = _source(tmp_path, signer)
    (source / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match="pickle"):
        registry.import_folder(source, "banking-lora")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_leaves_nothing_behind(tmp_path, registry, signer, name):
    source = _source(tmp_path, signer)
    (source / name).unlink()
    with pytest.raises(InputError, match=name):
        registry.import_folder(source, "banking-lora")
    assert _everything(tmp_path / "adapters") == []


def test_an_adapter_is_not_installed_under_another_name_than_it_was_signed_for(tmp_path, registry, signer):
    with pytest.raises(InputError, match="manifest is of 'savings'; wanted 'banking-lora'"):
        registry.import_folder(_source(tmp_path, signer, "savings"), "banking-lora")
    assert _everything(tmp_path / "adapters") == []


@pytest.mark.parametrize("name", FILES)
def test_an_installed_version_in_which_any_byte_was_changed_is_refused(tmp_path, registry, signer, name):
    installed = registry.import_folder(_source(tmp_path, signer), "banking-lora")
    path = installed.folder / name
    path.chmod(0o600)
    content = path.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises((StoreCorrupt, InputError), match=r"banking-lora.*(changed|not trusted)"):
            registry.verify(installed, signer)
    path.write_bytes(content)
    registry.verify(installed, signer)


def test_a_file_that_was_added_or_removed_later_is_refused(tmp_path, registry, signer):
    installed = registry.import_folder(_source(tmp_path, signer), "banking-lora")
    installed.folder.chmod(0o700)
    (installed.folder / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(StoreCorrupt, match=r"adapter_model\.bin is missing or too much"):
        registry.verify(installed, signer)
    (installed.folder / "adapter_model.bin").unlink()
    (installed.folder / MODEL_FILE).unlink()
    with pytest.raises(StoreCorrupt, match="is missing or too much"):
        registry.verify(installed, signer)


@pytest.mark.parametrize("name", FILES)
def test_importing_again_mends_a_version_that_was_damaged(tmp_path, registry, signer, name):
    source = _source(tmp_path, signer)
    installed = registry.import_folder(source, "banking-lora")
    (installed.folder / name).chmod(0o600)
    (installed.folder / name).write_bytes(b"x")
    with pytest.raises(StoreCorrupt):
        registry.verify(installed, signer)
    assert registry.import_folder(source, "banking-lora").digest == installed.digest
    registry.verify(installed, signer)
    registry.import_folder(source, "banking-lora")
    assert _everything(tmp_path / "adapters" / "banking-lora") == sorted(
        [installed.digest, *(f"{installed.digest}/{file}" for file in FILES)]
    )


def test_an_unsigned_adapter_is_refused(tmp_path, registry, signer):
    installed = registry.import_folder(write_adapter(tmp_path / "made"), "banking-lora")
    with pytest.raises(InputError, match="not signed"):
        registry.verify(installed, signer)


def test_what_is_signed_on_the_way_in_is_read_only_and_verified(tmp_path, registry, signer):
    stranger = Ed25519Signer(tmp_path / "elsewhere")
    for source in (write_adapter(tmp_path / "made"), _source(tmp_path, stranger)):
        installed = registry.import_folder(source, "banking-lora", sign_with=signer)
        registry.verify(installed, signer)
        assert {stat.S_IMODE(path.stat().st_mode) for path in installed.folder.iterdir()} == {0o400}
    assert registry.versions("banking-lora") == (installed,)


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path, registry, signer):
    source = _source(tmp_path, signer)
    (source / MODEL_FILE).unlink()
    (source / MODEL_FILE).mkdir()
    with pytest.raises(InputError, match="no regular file"):
        registry.import_folder(source, "banking-lora")
    assert registry.names() == ()


def test_a_stranger_s_signature_is_refused(tmp_path, registry, signer):
    stranger = Ed25519Signer(tmp_path / "elsewhere")
    installed = registry.import_folder(_source(tmp_path, stranger), "banking-lora")
    with pytest.raises(InputError, match="not trusted here"):
        registry.verify(installed, signer)


def test_a_manifest_that_was_changed_before_it_was_installed_is_refused(tmp_path, registry, signer):
    source = _source(tmp_path, signer)
    manifest = source / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"seed":7', b'"seed":8'))
    installed = registry.import_folder(source, "banking-lora")
    with pytest.raises(InputError, match="signature is of another content"):
        registry.verify(installed, signer)


def test_a_signature_by_another_trusted_key_is_not_this_key_s(tmp_path, registry, signer):
    source = _source(tmp_path, signer)
    other = Ed25519Signer(tmp_path / "elsewhere")
    mixed = signed(manifest_of(matrices(), config()), other).to_json()
    mixed = mixed.replace(other.public_key.hex().encode(), signer.public_key.hex().encode())
    (source / "manifest.json").write_bytes(mixed)
    with pytest.raises(InputError, match="another content"):
        registry.verify(registry.import_folder(source, "banking-lora"), signer)


def test_an_adapter_of_another_base_is_refused(tmp_path, registry, signer):
    installed = registry.import_folder(_source(tmp_path, signer), "banking-lora")
    with pytest.raises(InputError, match="another base model"):
        registry.verify(installed, signer, base_digest="0" * 64)


def test_pruning_keeps_the_newest_and_what_is_in_use(tmp_path, registry, signer):
    made = []
    for seed in range(5):
        made.append(registry.import_folder(_source(tmp_path, signer, seed=seed), "banking-lora"))
        os.utime(made[-1].folder, (seed, seed))
    gone = registry.prune("banking-lora", {made[0].digest}, newest=2)
    assert {one.digest for one in gone} == {made[1].digest, made[2].digest}
    left = [one.digest for one in registry.versions("banking-lora")]
    assert left == [made[n].digest for n in (4, 3, 0)]


def test_a_forged_version_removes_nothing_outside(tmp_path, registry, signer):
    installed = registry.import_folder(_source(tmp_path, signer), "banking-lora")
    for forged in (replace(installed, digest="../../keys"), replace(installed, name="../keys")):
        with pytest.raises(InputError):
            registry.remove(forged)
    registry.remove(installed)
    registry.remove(installed)
    assert registry.names() == ()
    assert (tmp_path / "keys" / "signing.pem").exists()


@pytest.mark.parametrize("call", ["fsync", "mkdir", "rename", "open"])
def test_a_full_disk_leaves_nothing_half_installed(tmp_path, registry, signer, monkeypatch, call):
    first = registry.import_folder(_source(tmp_path, signer), "banking-lora")
    before = _everything(tmp_path / "adapters")
    source = _source(tmp_path, signer, seed=2)
    real = getattr(os, call)

    def full(*args, **kwargs):
        if call == "open" and not args[1] & os.O_EXCL:
            return real(*args, **kwargs)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(StoreError, match="nothing was changed: No space left"):
            registry.import_folder(source, "banking-lora")
    assert _everything(tmp_path / "adapters") == before
    registry.verify(first, signer)
    registry.import_folder(source, "banking-lora")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # newer Pythons warn of threads that BLAS began
def test_a_write_that_fails_in_the_middle_leaves_nothing_half_installed(tmp_path, registry, signer):
    source = _source(tmp_path, signer)
    size = (source / MODEL_FILE).stat().st_size

    def child():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        try:
            registry.import_folder(source, "banking-lora")
        except StoreError as exc:
            return 7 if "File too large" in str(exc) else 8
        return 0

    assert _in_child(child) == 7
    assert _everything(tmp_path / "adapters") == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # newer Pythons warn of threads that BLAS began
@pytest.mark.parametrize("call", ["fsync", "rename", "chmod"])
@pytest.mark.parametrize("nth", range(1, 5))
def test_a_kill_at_any_point_leaves_the_version_whole_or_not_there(tmp_path, registry, signer, call, nth):
    first = registry.import_folder(_source(tmp_path, signer), "banking-lora")
    source = _source(tmp_path, signer, seed=2)

    def child():
        real, seen = getattr(os, call), []

        def deadly(*args, **kwargs):
            seen.append(args)
            if len(seen) == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        setattr(os, call, deadly)
        registry.import_folder(source, "banking-lora")
        return 0

    assert _in_child(child) in {0, -signal.SIGKILL}
    for version in registry.versions("banking-lora"):
        registry.verify(version, signer)
    second = registry.import_folder(source, "banking-lora")
    assert set(registry.versions("banking-lora")) == {first, second}
    assert not [path for path in _everything(tmp_path / "adapters") if ".partial" in path]


def test_importing_in_many_threads_installs_each_version_once(tmp_path, registry, signer):
    sources = [_source(tmp_path, signer, seed=seed) for seed in range(3)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda source: registry.import_folder(source, "banking-lora"), sources * 3))
    assert set(found) == set(registry.versions("banking-lora"))
    assert len(registry.versions("banking-lora")) == 3


def _in_child(act) -> int:
    """Exit status of a forked child that does this; negative for the signal that ended it."""
    child = os.fork()
    if not child:
        try:
            os._exit(act())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
