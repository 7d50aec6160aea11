"""What an interpreter imports first that is to be preempted: see `preemption`."""

import preemption

preemption.start_as_told()
