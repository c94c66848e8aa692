"""What so many replicas do at once, and need: sizing.py [REPLICAS ...] [--rate DOCUMENTS_A_SECOND]

The numbers of a replica are those of worker.yaml and cpu.yaml; the times are your own, measured.
"""

import argparse
import math

WORKFLOW_SLOTS, IO_SLOTS, CPU_SLOTS, DATABASE_POOL = 3, 5, 2, 5

arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("replicas", type=int, nargs="*", default=[3, 5, 10, 15, 20])
arguments.add_argument("--rate", type=float, help="documents a second: how many replicas it takes")
arguments.add_argument("--workflow-seconds", type=float, default=1.05, help="of a place for workflow tasks")
arguments.add_argument("--io-seconds", type=float, default=1.5, help="of a place for I/O activities")
arguments.add_argument("--cpu-seconds", type=float, default=0.5, help="of a place for CPU activities")
given = arguments.parse_args()

print("replicas  workflows  I/O  CPU  database connections")
for n in given.replicas:
    print(f"{n:8}  {n * WORKFLOW_SLOTS:9}  {n * IO_SLOTS:3}  {n * CPU_SLOTS:3}  {n * DATABASE_POOL:20}")
if given.rate is not None:
    workflows = given.rate * given.workflow_seconds / WORKFLOW_SLOTS
    io = given.rate * given.io_seconds / IO_SLOTS
    cpu = given.rate * given.cpu_seconds / CPU_SLOTS
    print(
        f"\n{given.rate:g} documents a second take {math.ceil(max(workflows, io))} replicas of documents-worker"
        f" ({workflows:.1f} for workflows, {io:.1f} for I/O)\nand {math.ceil(cpu)} of documents-cpu, at their limit."
    )
