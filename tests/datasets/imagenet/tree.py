"""ImageNet's layout, small: folders of WordNet ids, validation pictures side by side, a kit."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

# The classes' numbers in the kit are in another order than the WordNet ids, as in the real one.
CLASSES = {
    1: ("n02119789", "kit fox, Vulpes macrotis"),
    2: ("n01440764", "tench, Tinca tinca"),
    3: ("n02084071", "dog"),
    4: ("n01443537", "goldfish, Carassius auratus"),
}
INNER = {5: ("n00001740", "entity"), 6: ("n02083346", "canine, canid")}
SORTED = sorted(wordnet_id for wordnet_id, _ in CLASSES.values())


def write_kit(folder, year=2012, truth=(), *, as_row=None, inner=True):
    """Writes a kit in the structure of the year's; returns it."""
    names = [f"ILSVRC{year}_ID", "WNID", "words", "gloss", "num_children", "children"]
    names += ["wordnet_height", "num_train_images"]
    synsets = CLASSES | (INNER if inner else {})
    rows = np.zeros((len(synsets), 1), [(name, object) for name in names])
    for row, (number, (wordnet_id, words)) in enumerate(synsets.items()):
        children = np.array([1, 2]) if number in INNER else np.zeros(0)
        values = (float(number), wordnet_id, words, "a gloss", float(len(children)), children, 0, 9)
        rows[row, 0] = values
    if as_row if as_row is not None else year > 2012:
        rows = rows.T
    (folder / "data").mkdir(parents=True, exist_ok=True)
    meta, part = ("meta.mat", "") if year == 2012 else ("meta_clsloc.mat", "clsloc_")
    savemat(folder / "data" / meta, {"synsets": rows})
    text = "".join(f"{number}\n" for number in truth)
    (folder / "data" / f"ILSVRC{year}_{part}validation_ground_truth.txt").write_text(text)
    return folder


def picture(generator, width=23, height=17):
    """A picture in colour that JPEG keeps well."""
    coarse = generator.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def make_tree(folder: Path, num_training=5, num_validation=10, year=2012):
    """Writes train, val and kit below the folder; returns it."""
    generator = np.random.default_rng(0)
    for wordnet_id, _ in CLASSES.values():
        (folder / "train" / wordnet_id).mkdir(parents=True)
        for number in range(num_training):
            name = f"{wordnet_id}_{number * 7}.JPEG"
            picture(generator).save(folder / "train" / wordnet_id / name, "JPEG")
    (folder / "val").mkdir()
    truth = generator.integers(1, len(CLASSES) + 1, num_validation).tolist()
    for number in range(num_validation):
        name = f"ILSVRC2012_val_{number + 1:08d}.JPEG"
        picture(generator, 31, 14).save(folder / "val" / name, "JPEG")
    write_kit(folder / "kit", year, truth)
    return folder


def truth_of(folder):
    """The WordNet ids of the validation pictures, in the order of their names."""
    (file,) = (folder / "kit" / "data").glob("*.txt")
    return [CLASSES[int(line)][0] for line in file.read_text().split()]


def contents(folder):
    """All files below a folder."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
