"""Where the simulated processes run: what a claim's mark says, and who can tell that its owner is gone.

A process that dies is started again by the supervisor of its machine, which then knows at once that the old
one is gone. Now and then the machine is lost with it: the process starts elsewhere, and only the lease tells.
"""

from collections import Counter

from benchmarks.faults.world import World

MACHINE_LOST_SHARE = 0.4


class Machines:
    def __init__(self, world: World) -> None:
        self.world = world
        self.lost: Counter[str] = Counter()
        self._rng = world.rng("machines")

    def note_death(self, process: str) -> None:
        """Decide whether the machine of a process that dies is lost with it."""
        self.lost[process] += self._rng.random() < MACHINE_LOST_SHARE

    def mark_of_this_process(self) -> str:
        process = self._process()
        return f"{process}#{self.lost[process]}/{self.world.lives(process)}"

    def is_gone(self, mark: str) -> bool:
        """Tell whether the process of a mark has died, as a process of the same machine can see it."""
        machine, _, life = mark.rpartition("/")
        process = self._process()
        return machine == f"{process}#{self.lost[process]}" and life != str(self.world.lives(process))

    def _process(self) -> str:
        task = self.world.current()
        return task.process if task is not None else "world"
