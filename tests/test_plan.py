import numpy as np
import pytest
from picture_files import fill

from pyimagesearch.datasets.catalog import open_dataset
from pyimagesearch.datasets.folder import FolderDataset
from pyimagesearch.training.plan import (
    DEFAULT_AUGMENTATIONS,
    OBJECTIVE_ALIASES,
    OBJECTIVES,
    SCHEDULES,
    choose_validation,
    make_plan,
)


def test_the_default_plan_is_the_tutorials_recipe():
    plan = make_plan()
    assert plan.is_published
    assert (plan.epochs, plan.batch_size, plan.learning_rate) == (20, 32, 1e-3)
    assert (plan.augmentations, plan.patience, plan.seed) == ((), None, 42)
    assert SCHEDULES["tutorial"].norm_momentum is None


def test_settings_that_are_given_replace_the_defaults_of_the_schedule_and_the_objective():
    plan = make_plan(objective="neighbours", schedule="fast")
    assert (plan.epochs, plan.batch_size, plan.learning_rate) == (6, 128, 1.5e-2)
    assert plan.augmentations == ("affine",)
    plan = make_plan(objective="neighbours", schedule="fast", epochs=3, augmentations=[])
    assert (plan.epochs, plan.batch_size, plan.augmentations) == (3, 128, ())
    assert not plan.is_published


def test_a_former_name_of_an_objective_gives_the_same_plan():
    assert make_plan(objective="triplet") == make_plan(objective="supcon")
    assert not set(OBJECTIVE_ALIASES) & set(OBJECTIVES)
    assert set(OBJECTIVE_ALIASES.values()) | set(DEFAULT_AUGMENTATIONS) <= set(OBJECTIVES)


@pytest.mark.parametrize(("name", "value"), [("objective", "gan"), ("schedule", "slow")])
def test_an_unknown_name_is_refused_with_the_known_ones(name, value):
    with pytest.raises(ValueError, match=rf"expected the {name} .* or .*, received {value}"):
        make_plan(**{name: value})


def test_every_objective_ends_with_a_decoder_that_fits_its_code():
    for phases in OBJECTIVES.values():
        assert phases[-1].trains in ("autoencoder", "decoder")
        assert phases[-1].target == "images"


def test_the_published_recipe_validates_on_the_test_images_and_others_on_a_tenth():
    digits = open_dataset("mnist", "train", 100)
    training, validation = choose_validation(digits, make_plan(), limit=30)
    assert training is digits
    assert (len(validation), validation.source["split"]) == (30, "test")
    for plan in (make_plan(objective="neighbours"), make_plan(schedule="fast")):
        assert [len(part) for part in choose_validation(digits, plan)] == [90, 10]


def test_the_choice_of_the_validation_images_is_followed_whatever_the_plan():
    digits, fast = open_dataset("mnist", "train", 100), make_plan(schedule="fast")
    assert len(choose_validation(digits, fast, "test", 30)[1]) == 30
    assert [len(part) for part in choose_validation(digits, make_plan(), 0.25)] == [75, 25]


def test_a_folder_has_no_test_images_and_validates_on_a_tenth(tmp_path):
    fill(tmp_path, *(f"{number}.png" for number in range(40)))
    folder = FolderDataset(tmp_path)
    parts = choose_validation(folder, make_plan())
    assert sorted([*parts[0].ids, *parts[1].ids]) == folder.ids
    assert 0 < len(parts[1]) < 12
    with pytest.raises(ValueError, match=r"has no test images.*--validation 0\.1"):
        choose_validation(folder, make_plan(), "test")


def test_a_single_image_cannot_be_divided(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=np.zeros((1, 8, 8), np.uint8))
    dataset = open_dataset(str(tmp_path / "d.npz"))
    with pytest.raises(ValueError, match="has 1 image: training needs 2"):
        choose_validation(dataset, make_plan(), 0.5)


def test_patches_learn_labels_for_twice_the_epochs_of_other_networks():
    names = ("conv", "patches")
    conv, patches = (make_plan(architecture=a, objective="supcon").phases for a in names)
    assert [phase.name for phase in patches] == ["fit", *(phase.name for phase in conv)]
    assert patches[1].epoch_scale == 2 * conv[0].epoch_scale
    assert patches[2] == conv[1]
