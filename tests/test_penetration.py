"""How far simulated bodies sink into what they touch, measured where the answer is known."""

import json

import mujoco
import numpy as np
import pytest

from data_pipeline.simulated import penetration
from data_pipeline.simulated.body import draw_sizes
from data_pipeline.simulated.parameters import DEFAULT
from data_pipeline.simulated.scene import Scene, draw_crib


@pytest.fixture
def lying_straight() -> tuple[Scene, float]:
    """Arms spread, clear of the hips; the scene and the girth in metres."""
    rng = np.random.default_rng(0)
    sizes = draw_sizes(rng, DEFAULT.body)
    scene = Scene(sizes, draw_crib(rng, sizes))
    for side in ("right", "left"):
        scene.data.joint(f"{side}_arm_abduct").qpos[0] = 1.2
    return scene, sizes.girth


def test_a_head_pushed_a_centimetre_into_the_mattress_is_found_and_named(lying_straight):
    scene, girth = lying_straight
    # The head's lowest point is 0.1 + 0.02 - 0.115 of the girth above z = 0 (`body`).
    scene.data.joint("z").qpos[0] = -0.01 - 0.005 * girth
    mujoco.mj_forward(scene.model, scene.data)
    depth, pair = scene.deepest_contact()
    assert depth == pytest.approx(0.01, abs=1e-4)
    assert pair == "mattress in skull"


def test_an_infant_in_the_air_touches_nothing(lying_straight):
    scene, _ = lying_straight
    scene.data.joint("z").qpos[0] = 0.5
    mujoco.mj_forward(scene.model, scene.data)
    assert scene.deepest_contact() == (0.0, "")


def test_the_table_says_what_the_last_line_says_and_the_bars_hold(capsys):
    assert penetration.main(["--infants=2", "--frames=20", "--seed=11"]) == 0
    out, err = capsys.readouterr()
    actual = json.loads(out.splitlines()[-1])
    assert [row["frames"] for row in actual["infants"]] == [20, 20]
    assert actual["deeper"] <= 0.01
    assert actual["behind_mm"] >= -5 and actual["beyond_radius_mm"] <= 15
    for row in actual["infants"]:
        assert row["deepest_mm"] >= row["p99_mm"] >= row["median_mm"] >= 0
        assert f"deepest {row['deepest_mm']:.1f} mm" in err


def test_no_infants_is_an_error(capsys):
    assert penetration.main(["--infants=0"]) == 2
    assert "--infants=0: expected 1 or more" in capsys.readouterr().err
