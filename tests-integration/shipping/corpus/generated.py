"""Made-up functions and classes, by fixed seeds; hypothesis looks for more of them elsewhere."""

import random

import generate
from harness import Skipped, case, script

SEEDS = 25


def closures(call, seed):
    draw = random.Random(seed)
    calls = [(draw.randrange(9), draw.randrange(4)) for _ in range(generate.CALLS)]
    with script(generate.closure_program(draw.randrange)) as main:
        expected = generate.play(*main.make(2), calls)
        functions, log = main.make(2)

        def task(functions, log, calls):
            out = []
            for index, argument in calls:
                try:
                    out.append(functions[index % len(functions)](argument))
                except Exception as error:
                    out.append(type(error).__name__)
            return out, log

        assert call(task, functions, log, calls) == expected
        # And as they come back, having been called there.
        back = call(lambda make: make(2), main.make)
        assert generate.play(*back, calls) == expected


def classes(call, seed):
    draw = random.Random(1000 + seed)
    source = generate.class_program(draw.randrange)
    try:
        with script(source) as main:
            pass
    except TypeError:  # no order of the bases, or of the slots
        raise Skipped("no such classes can be") from None
    with script(source) as main:
        made = main.objects()
        expected = main.describe(main.CLASSES, made)
        assert call(main.describe, main.CLASSES, made) == expected
        kinds, back = call(lambda *both: both, main.CLASSES, made)
        assert all(kind is cls for kind, cls in zip(kinds, main.CLASSES))
        assert main.describe(kinds, back) == expected
        there = call(main.objects)
        assert main.describe(main.CLASSES, there) == expected


def each(make, seed):
    def run(call):
        make(call, seed)

    run.__name__ = f"{make.__name__}_{seed}"
    case(run)


for seed in range(SEEDS):
    each(closures, seed)
    each(classes, seed)
