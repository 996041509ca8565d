"""The fitter against NIST's certified nonlinear problems (StRD, public domain).

https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml. From the worse of NIST's two starts, the
certified parameters come back to six digits or more, and the standard errors to four.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from planner_calibration.fit.law.solve import solve


@dataclass(frozen=True)
class Problem:
    model: Callable[[np.ndarray, np.ndarray], np.ndarray]
    start: tuple[float, ...]
    certified: tuple[float, ...]
    stderr: tuple[float, ...]
    rss: float
    x: np.ndarray
    y: np.ndarray


def numbers(text: str) -> np.ndarray:
    return np.array(text.split(), dtype=float)


PROBLEMS = {
    "Misra1a": Problem(
        lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
        (500, 0.0001),
        (2.3894212918e02, 5.5015643181e-04),
        (2.7070075241e00, 7.2668688436e-06),
        1.2455138894e-01,
        numbers("77.6 114.9 141.1 190.8 239.9 289.0 332.8 378.4 434.8 477.3 536.8 593.1 689.1 760"),
        numbers(
            "10.07 14.73 17.94 23.93 29.61 35.18 40.02 44.82 50.76 55.05 61.01 66.40 75.47 81.78"
        ),
    ),
    "DanWood": Problem(
        lambda b, x: b[0] * x ** b[1],
        (1, 5),
        (7.6886226176e-01, 3.8604055871e00),
        (1.8281973860e-02, 5.1726610913e-02),
        4.3173084083e-03,
        numbers("1.309 1.471 1.490 1.565 1.611 1.680"),
        numbers("2.138 3.421 3.597 4.340 4.882 5.660"),
    ),
    "Thurber": Problem(
        lambda b, x: (
            (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3)
            / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)
        ),
        (1000, 1000, 400, 40, 0.7, 0.3, 0.03),
        (
            1.2881396800e03,
            1.4910792535e03,
            5.8323836877e02,
            7.5416644291e01,
            9.6629502864e-01,
            3.9797285797e-01,
            4.9727297349e-02,
        ),
        (),
        5.6427082397e03,
        numbers(
            "-3.067 -2.981 -2.921 -2.912 -2.840 -2.797 -2.702 -2.699 -2.633 -2.481 -2.363 -2.322 "
            "-1.501 -1.460 -1.274 -1.212 -1.100 -1.046 -0.915 -0.714 -0.566 -0.545 -0.400 -0.309 "
            "-0.109 -0.103 0.010 0.119 0.377 0.790 0.963 1.006 1.115 1.572 1.841 2.047 2.200"
        ),
        numbers(
            "80.574 84.248 87.264 87.195 89.076 89.608 89.868 90.101 92.405 95.854 100.696 101.060 "
            "401.672 390.724 567.534 635.316 733.054 759.087 894.206 990.785 1090.109 1080.914 "
            "1122.643 1178.351 1260.531 1273.514 1288.339 1327.543 1353.863 1414.509 1425.208 "
            "1421.384 1442.962 1464.350 1468.705 1447.894 1457.628"
        ),
    ),
    "Eckerle4": Problem(
        lambda b, x: b[0] / b[1] * np.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
        (1.5, 5, 450),
        (1.5543827178, 4.0888321754, 4.5154121844e02),
        (1.5408051163e-02, 4.6803020753e-02, 4.6800518816e-02),
        1.4635887487e-03,
        numbers(
            "400 405 410 415 420 425 430 435 436.5 438 439.5 441 442.5 444 445.5 447 448.5 450 "
            "451.5 453 454.5 456 457.5 459 460.5 462 463.5 465 470 475 480 485 490 495 500"
        ),
        numbers(
            "0.0001575 0.0001699 0.0002350 0.0003102 0.0004917 0.0008710 0.0017418 0.0046400 "
            "0.0065895 0.0097302 0.0149002 0.0237310 0.0401683 0.0712559 0.1264458 0.2073413 "
            "0.2902366 0.3445623 0.3698049 0.3668534 0.3106727 0.2078154 0.1164354 0.0616764 "
            "0.0337200 0.0194023 0.0117831 0.0074357 0.0022732 0.0008800 0.0004579 0.0002345 "
            "0.0001586 0.0001143 0.0000710"
        ),
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_solver_returns_nist_certified_values(name: str) -> None:
    """Parameters and residual sum agree with NIST's eleven digits to seven."""
    p = PROBLEMS[name]
    found = solve(lambda b: p.model(b, p.x) - p.y, [p.start])
    np.testing.assert_allclose(found.theta, p.certified, rtol=1e-6)
    assert found.rss == pytest.approx(p.rss, rel=1e-7)
    if p.stderr:
        np.testing.assert_allclose(np.sqrt(np.diag(found.covariance())), p.stderr, rtol=1e-4)
