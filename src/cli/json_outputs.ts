/**
 * What each command prints with `--json`: docs/schemas is written from these types (`npm run build:schemas`).
 *
 * Numbers that are not finite become null, as JSON has no other word for them.
 */
import type { TextPerplexityReport } from '../evaluation/text_perplexity.ts'
import type { TasksReport } from '../evaluation/tasks/run.ts'
import type { WorkerEvent } from '../jobs/queue_worker.ts'
import type { ParityReport } from '../parity/check.ts'
import type { OpsReport } from '../parity/check_ops.ts'
import type { ExperimentResult } from '../results/experiment_result.ts'
import type { Provenance } from '../results/provenance.ts'
import type { ReproduceReport } from '../experiments/reproduce_report.ts'
import type { Turn } from './chat_loop.ts'
import type { BenchOutput } from './commands/bench.ts'
import type { CalibrateOutput } from './commands/calibrate.ts'
import type { ConvertOutput } from './commands/convert.ts'
import type { DoctorOutput } from './commands/doctor.ts'
import type { GenerateOutput } from './commands/generate.ts'
import type { InspectOutput } from './commands/inspect.ts'
import type { JobsOutput } from './commands/jobs.ts'
import type { LearnReport } from './commands/learn.ts'
import type { MasksOutput } from './commands/masks.ts'
import type { CertificateOutput, ParityRunOutput } from './commands/parity_run.ts'
import type { PretrainOutput } from './commands/pretrain.ts'
import type { TrainReport } from './commands/train.ts'
import type { VerifyOutput } from './commands/verify.ts'
import type { WorkerEnd } from './commands/worker.ts'

/** `reproduce --experiment`. */
interface Experiments {
  readonly experiments: readonly ExperimentResult[]
  readonly provenance: Provenance
}

/** By the name of the command; `chat` and `worker` print an object in each line. */
export interface JsonOutputs {
  readonly bench: BenchOutput
  readonly calibrate: CalibrateOutput
  readonly chat: Turn
  readonly convert: ConvertOutput
  readonly cost: ExperimentResult
  readonly doctor: DoctorOutput
  readonly eval: TasksReport
  readonly generate: GenerateOutput
  readonly inspect: InspectOutput
  readonly jobs: JobsOutput
  readonly learn: LearnReport
  readonly masks: MasksOutput
  readonly 'parity check': ParityReport
  readonly 'parity check-ops': OpsReport
  readonly 'parity run': ParityRunOutput
  readonly 'parity verify-certificate': CertificateOutput
  readonly perplexity: TextPerplexityReport
  readonly pretrain: PretrainOutput
  readonly reproduce: ReproduceReport | Experiments
  readonly train: TrainReport
  readonly verify: VerifyOutput
  readonly worker: WorkerEvent | WorkerEnd
}
