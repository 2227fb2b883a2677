"""Every bound of the control plane, its unit last; each is enforced where it is named, and says so or is counted.

They stand by meaning: `agents`, `coordination`, `turns`, `journal`, `folds`, `dispatch`, `fleet`, `questions`,
`workers`; all are names of this package, too.
"""

from controlplane.limits.agents import *
from controlplane.limits.coordination import *
from controlplane.limits.dispatch import *
from controlplane.limits.fleet import *
from controlplane.limits.folds import *
from controlplane.limits.journal import *
from controlplane.limits.questions import *
from controlplane.limits.turns import *
from controlplane.limits.workers import *
