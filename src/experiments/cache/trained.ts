/**
 * The predictor of a method: trained from examples, or read from the folder of an earlier run, with its losses on the
 * examples that training held out.
 */
import type { Backend } from '../../backends/backend.ts'
import type { LanguageModel } from '../../engine/language_model.ts'
import { joinPath, readFile, writeFileAtomic } from '../../platform/platform.ts'
import type { PredictorConfigBase, PredictorConfig, PredictorKind } from '../../predictor/predictor_config.ts'
import type { CalibrationExample } from '../../predictor/example.ts'
import { openPredictor, savePredictor } from '../../predictor/predictor_file.ts'
import {
  trainPredictor,
  type PredictorTraining,
  type TrainedPredictor,
} from '../../training/train_predictor.ts'
import { predictorKindOf } from '../../planners/index.ts'
import type { Method } from '../../results/method.ts'
import { unitKinds, type UnitKind } from '../../masks/mask.ts'
import { featureWidths } from '../../engine/config.ts'
import { recordOf } from '../../tensor/records.ts'

const predictorName = 'predictor.safetensors'
const reportName = 'held_out.json'

/** The signal and the listener of a training. */
interface TrainMethodOptions {
  readonly signal?: AbortSignal
  /** Epochs done, of all networks. */
  readonly onEpoch?: (done: number, total: number) => void
}

/** Trains the predictor of a method. @throws UsageError EXAMPLES; the signal's reason */
export function trainMethod(
  model: LanguageModel,
  method: Method,
  examples: readonly CalibrationExample[],
  seed: number,
  dataHash: string,
  { signal, onEpoch }: TrainMethodOptions = {},
): Promise<TrainedPredictor> {
  const { criterion, predictor: settings } = method
  const kind = predictorKindOf(method.planner)
  if (!kind || !settings) throw new TypeError(`${method.planner}: expected settings of a predictor, got none`)
  const { training, headHidden, neuronHidden, features, targets, sourceLayer, pooling, loss, top } = settings
  const base: PredictorConfigBase = {
    shape: model.shape,
    ...featureWidths(model.config),
    headHidden,
    neuronHidden,
    features,
    criterion,
    seed,
    examples: examples.length,
    dataHash,
  }
  const options: PredictorTraining = {
    ...training,
    signal,
    onEpoch: ({ epoch, network, networks }) =>
      onEpoch?.(network * training.epochs + epoch, networks * training.epochs),
  }
  const configs = {
    shadow: { ...base, kind: 'shadow', sourceLayer, pooling, targets, loss, top },
    'dejavu-style': { ...base, kind: 'dejavu-style', targets },
    dejavu: { ...base, kind: 'dejavu', top },
  } as const satisfies Record<PredictorKind, PredictorConfig>
  return trainPredictor(model.backend, configs[kind], examples, options)
}

/** Writes a predictor and its held-out losses into a folder. */
export async function saveTrained(folder: string, { predictor, heldOut }: TrainedPredictor): Promise<void> {
  await savePredictor(joinPath(folder, predictorName), predictor)
  // JSON has no NaN: nothing held out is null.
  await writeFileAtomic(joinPath(folder, reportName), JSON.stringify(heldOut))
}

/** Reads what `saveTrained` wrote. The folder must be trusted: its content is not checked. */
export async function openTrained(folder: string, backend: Backend): Promise<TrainedPredictor> {
  const text = new TextDecoder().decode(await readFile(joinPath(folder, reportName)))
  const stored = JSON.parse(text) as Record<UnitKind, number | null>
  const predictor = await openPredictor(joinPath(folder, predictorName), backend)
  return { predictor, heldOut: recordOf(unitKinds, (kind) => stored[kind] ?? NaN) }
}
