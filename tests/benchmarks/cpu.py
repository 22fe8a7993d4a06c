"""What a process and everything it started cost: CPU time and memory, read from /proc.

CPU time is `utime + stime` of every living process of the tree and of the children they have waited for
(`/proc/<pid>/stat`, proc(5)). Linux counts it in ticks, usually 10 ms, which is 0.5% of a round of two seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """CPU time used so far.

    Attributes:
        user_s: In the program itself.
        system_s: In the kernel on its behalf.
    """

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        """Both together."""
        return self.user_s + self.system_s

    def since(self, earlier: CpuTime) -> CpuTime:
        """Returns what was used between an earlier reading and this one."""
        return CpuTime(user_s=self.user_s - earlier.user_s, system_s=self.system_s - earlier.system_s)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of a process tree in MiB.

    Attributes:
        rss_mib: Resident pages, those shared by two processes counted twice.
        pss_mib: Resident pages, shared ones divided by the number of processes that share them.
    """

    rss_mib: float
    pss_mib: float


def tree(pid: int) -> list[int]:
    """Returns a process and all its living descendants."""
    found = [pid]
    for parent in found:  # grows while it is walked, so that grandchildren are reached too
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found.extend(map(int, (task / "children").read_text().split()))
    return found


def cpu_time(pid: int) -> CpuTime:
    """Reads the CPU time of a process tree."""
    user = system = 0
    for member in tree(pid):
        fields = _read(member, "stat").rpartition(")")[2].split()
        if fields:  # 14 utime, 15 stime, 16 cutime, 17 cstime; the first field here is 3
            user += int(fields[11]) + int(fields[13])
            system += int(fields[12]) + int(fields[14])
    return CpuTime(user_s=user / _TICKS_PER_S, system_s=system / _TICKS_PER_S)


def memory(pid: int) -> Memory:
    """Reads the memory of a process tree."""
    members = tree(pid)
    return Memory(
        rss_mib=sum(_status_kib(member, "VmRSS") for member in members) / 1024,
        pss_mib=sum(_kib(_read(member, "smaps_rollup"), "Pss") for member in members) / 1024,
    )


def reset_peak(pid: int) -> None:
    """Makes each process of a tree forget the most memory it ever had (`/proc/<pid>/clear_refs`, value 5)."""
    for member in tree(pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{member}/clear_refs").write_text("5")


def peak_rss_mib(pid: int) -> float:
    """Returns the most memory that each process of a tree had since `reset_peak`, added up."""
    return sum(_status_kib(member, "VmHWM") for member in tree(pid)) / 1024


def core_model() -> str:
    """Returns the processor's name, or "unknown"."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def busy_s() -> float:
    """Returns the time that all cores together have worked since boot, whoever they worked for."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, _, _, irq, softirq = map(int, fields[1:8])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def stolen_s(core: int) -> float:
    """Returns the time that the hypervisor kept from a core since boot: the part of the noise that can be seen."""
    for line in Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if fields[0] == f"cpu{core}":
            return int(fields[8]) / _TICKS_PER_S
    return 0.0


def _status_kib(pid: int, field: str) -> int:
    return _kib(_read(pid, "status"), field)


def _kib(text: str, field: str) -> int:
    for line in text.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def _read(pid: int, name: str) -> str:
    """Reads a file of /proc/<pid>; a process that has just ended reads as nothing."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
