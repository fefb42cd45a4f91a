/**
 * `shadowllm masks`: what a planner keeps of the model for a prompt, layer by layer, and how far that is what the
 * continuation turns out to need.
 */
import type { Command } from 'commander'
import { readText } from '../../data/texts.ts'
import { writeSafetensors } from '../../io/safetensors_writer.ts'
import { achievedSparsity, type LayerSizes, type Sparsity } from '../../masks/achieved.ts'
import { makeBudget, type Scope } from '../../masks/budget.ts'
import type { UnitMask } from '../../masks/mask.ts'
import { maskOverlap, type Overlap } from '../../masks/overlap.ts'
import { selectMask } from '../../masks/selection.ts'
import { keepsHeads, plannerOf, plannerOption, type PlannerName } from '../../planners/index.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import type { HubOrigin } from '../../io/hub.ts'
import { UsageError } from '../../tensor/errors.ts'
import { addFlags, type ModelFlags, listNames, type SharedFlags } from '../flags.ts'
import { formatMask, keptUnits, maskRow } from '../mask_picture.ts'
import { withModel } from '../open_model.ts'
import { checkOutput, whileWriting } from '../output.ts'
import { choiceOf } from '../../library/planner_options.ts'
import { addPlanFlags, meanOf, settlePlan, type PlanFlags } from '../planner_flags.ts'
import { printResult } from '../report.ts'
import { wrapLines } from '../../results/fold.ts'
import { dim, type Screen, type Text } from '../screen.ts'
import { readInput, type Session } from '../session.ts'
import { countOf, formatColumns, formatCount, formatPercent } from '../words.ts'
import { whole, addOwnFlags, type FlagsOf } from '../values.ts'

const help = `
In the picture, each block is one head or a few neighbouring neurons; a darker block keeps more of them. Columns that begin with "-" are
shares that are skipped; weights is the share of the layers' weights that are not read.

With --continuation the mask is compared with the oracle's mask, which skips the same share and is made from the scores of the continuation.
The comparison leaves out layer 0, which is dense in both masks.

For ${listNames(({ skips }) => skips === 'channels')}, the table shows the share of input channels (numbers that a matrix reads) that are masked at the last token of the
prompt: attention is the input of q, k and v, heads that of out, ffn that of fc1 and up, activations that of fc2. channels counts the
weights of all matrices that meet masked channels; weights counts those of out and fc2 alone.

--all-layers lets the mask skip units of layer 0 too, which otherwise stays dense, and needs no prompt. Use it for "convert --mask", with
--scope per-layer, so that every layer keeps equally many units.

--output holds head_mask [L, H] and ffn_mask [L, F], ones and zeros.

Examples:
  $ shadowllm masks "The captain looked at the sea and said,"
  $ shadowllm masks "The captain" --planner random --sparsity 0.8 --json
  $ shadowllm masks "The captain looked" --continuation " at the sea" --head-sparsity 0.3 --neuron-sparsity 0.8
  $ shadowllm masks --text book.txt --tokens 128 --planner prompt-plainact -o mask.safetensors
  $ shadowllm masks -m DIR --planner static --calibration traces --all-layers --scope per-layer -o mask.safetensors`

const ownFlags = [
  ['--text <file>', 'a file with the prompt instead'],
  [
    '--tokens <count>',
    "tokens of the prompt that count, from its beginning (default: all that fit the model's context)",
    whole(1),
  ],
  ['--continuation <text>', 'what follows the prompt, for the oracle and for recall (default: none)'],
  ['--all-layers', 'leave no layer dense; with --planner static --calibration DIR'],
] as const

type MasksFlags = FlagsOf<typeof ownFlags> &
  ModelFlags &
  PlanFlags &
  SharedFlags<'json'> & { readonly output?: string }

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  command.argument('[prompt]', 'text to decide by, or - for the text of standard input')
  addFlags(command, 'model')
  addOwnFlags(command, ownFlags)
  addPlanFlags(command, plannerOption, 'shadow')
  addFlags(command, 'backend', 'storage', 'json').option(
    '-o, --output <file>',
    'also write the mask, as safetensors',
  )
  addFlags(command, 'quiet')
    .addHelpText('after', help)
    .action((prompt: string | undefined, flags: MasksFlags) => runMasks(session, prompt, flags))
}

async function runMasks(session: Session, prompt: string | undefined, flags: MasksFlags): Promise<void> {
  const { output, planner, allLayers, calibration, continuation, paperCompatible } = flags
  const given = [prompt, flags.text].filter((one) => one !== undefined)
  // The mask of all layers is the calibration's alone; an oracle beside it reads a prompt.
  const needsPrompt = !allLayers || continuation !== undefined
  if (given.length > 1 || (given.length === 0 && needsPrompt))
    throw new UsageError(
      'PROMPT',
      `prompt and --text: expected one of them, got ${given.length === 0 ? 'neither' : 'both'}`,
    )
  if (planner === 'oracle' && (continuation ?? '') === '')
    throw new UsageError(
      'CONTINUATION',
      `--planner oracle: expected --continuation TEXT beside it, got ${continuation === undefined ? 'none' : 'an empty one'}`,
    )
  if (allLayers) {
    const refuse = (expected: string, got: string): never => {
      throw new UsageError('FLAGS', `--all-layers: expected ${expected}, got ${got}`)
    }
    const needed = '--planner static --calibration DIR beside it, which alone rank layer 0'
    if (planner !== 'static') refuse(needed, flags.isPlannerImplied ? 'none' : planner)
    if (calibration === undefined) refuse(`${needed} (make one with "shadowllm calibrate")`, 'no calibration')
    if (paperCompatible) refuse('no --paper-compatible beside it', 'it')
  }
  if (output !== undefined && plannerOf(planner).skips === 'channels')
    throw new UsageError(
      'PLANNER',
      `planner ${planner}: expected one that masks units for --output, got one that masks input channels of each token`,
    )
  if (output !== undefined) await checkOutput(output)
  const text =
    prompt === '-'
      ? await readInput(session)
      : (prompt ?? (flags.text === undefined ? '' : await readText(flags.text)))
  if (text === '' && given.length > 0) throw new UsageError('PROMPT', 'prompt: expected some text, got none')
  const decided = await withModel(session, flags, (opt) => decide(session, opt, text, flags))
  await printResult(session, flags, summary(decided), (_, screen) => picture(decided, screen))
  if (output === undefined) return
  await whileWriting(output, () => writeMask(output, decided))
  const { layers, heads, neurons } = decided.mask.shape
  const written = `head_mask [${layers}, ${heads}] and ffn_mask [${layers}, ${neurons}]`
  if (!flags.quiet) await session.note(`${written} written to ${output}`)
}

/** A mask and what it is of. */
interface Decided {
  readonly model: string
  readonly origin: HubOrigin | null
  /** D */
  readonly sizes: LayerSizes
  readonly prompt: { readonly text: string; readonly ids: readonly number[]; readonly left: number }
  readonly mask: UnitMask
  /** What the continuation needs; null where it is not known. */
  readonly oracleMask: UnitMask | null
  /** The flags, with the planner that decided. */
  readonly flags: MasksFlags & { readonly scope: Scope }
}

async function decide(session: Session, opt: ShadowModel, text: string, asked: MasksFlags): Promise<Decided> {
  const flags = await settlePlan(session, opt, asked, false)
  const { continuation, planner, tokens = Infinity } = flags
  const all = text === '' ? [] : opt.encode(text, { prefix: true })
  const { positions } = opt.config
  const after = continuation === undefined ? 0 : opt.encode(continuation).length
  const room = positions - 1 - after
  if (room < 1)
    throw new UsageError(
      'CONTEXT_LENGTH',
      `--continuation: expected fewer than ${positions - 1} tokens (the model's context less a prompt), got ${after}; shorten it`,
    )
  const ids = all.slice(0, Math.min(tokens, room))
  const options = { ...choiceOf(flags), continuation }
  const mask = flags.allLayers ? await staticMask(opt, flags) : await opt.mask(ids, { ...options, planner })
  const oracleMask =
    continuation === undefined ? null : await opt.mask(ids, { ...options, planner: 'oracle' })
  return {
    model: opt.name,
    origin: opt.origin,
    sizes: opt.config,
    prompt: { text, ids, left: all.length - ids.length },
    mask,
    oracleMask,
    flags,
  }
}

/** The mask of the mean scores of a calibration over all layers. */
async function staticMask(opt: ShadowModel, flags: MasksFlags): Promise<UnitMask> {
  const { calibration, criterion, scope, sparsity } = flags
  const { headSparsity = sparsity, neuronSparsity = sparsity } = flags
  const scores = await meanOf(opt, calibration as string, criterion)
  return selectMask(scores, makeBudget(sparsity, { scope, denseLayers: 0, headSparsity, neuronSparsity }))
}

function picture({ model, sizes, prompt, mask, oracleMask, flags }: Decided, screen: Screen): Text {
  const { columns } = screen
  const { layers, heads, neurons } = mask.shape
  const { planner, scope, criterion } = flags
  const { ids, left } = prompt
  const by = plannerOf(planner).needs.some((need) => need !== 'predictor') ? ` by ${criterion}` : ''
  const ranked =
    plannerOf(planner).skips === 'channels'
      ? 'input channels of the last token of the prompt, all units kept'
      : keepsHeads(planner)
        ? 'neurons within their layer, all heads kept'
        : scope
  const read = ids.length === 0 ? 'no prompt' : `a prompt of ${countOf(ids.length, 'token')}`
  const how = `${planner}${by}, ${ranked}; ${read}${left > 0 ? ` (${formatCount(left)} more were left out)` : ''}`
  const parts: Text[] = [
    `${model}: ${layers} layers of ${heads} heads and ${formatCount(neurons)} neurons\n${wrapLines(how, columns)}\n\n`,
    formatMask(mask, sizes, screen),
    '\n',
  ]
  if (oracleMask) {
    const overlap = overlapOf(mask, oracleMask)
    const rows = Object.entries(overlap).map(([kind, { recall, precision, jaccard, chance }]) => [
      kind,
      ...[recall, precision, jaccard, chance].map(formatPercent),
    ])
    const headings = ['of the oracle', 'recall', 'precision', 'Jaccard', 'chance']
    const table = formatColumns([headings, ...rows], [1, 2, 3, 4], { columns })
    const legend =
      "recall: share of the oracle's units that are kept; precision: share of the kept units that are the oracle's; Jaccard: units of both over units of either; chance: recall of units drawn at random."
    parts.push(`\n${table}\n`, dim(wrapLines(legend, columns)), '\n')
  }
  return parts
}

/** How far a mask is the oracle's, and the recall that chance alone gives. */
function overlapOf(mask: UnitMask, oracleMask: UnitMask): Record<'heads' | 'neurons', OverlapWithChance> {
  const { heads, neurons } = maskOverlap(mask, oracleMask)
  const chance = (kind: 'heads' | 'neurons'): number => {
    const ranked = mask[kind].subarray(mask.shape[kind])
    return ranked.length === 0 ? 1 : keptUnits(ranked).length / ranked.length
  }
  return {
    heads: { ...heads, chance: chance('heads') },
    neurons: { ...neurons, chance: chance('neurons') },
  }
}

/** How far masks agree, and the recall that chance alone gives. */
type OverlapWithChance = Overlap & { readonly chance: number }

/** What `--json` prints. */
export interface MasksOutput {
  readonly model: string
  /** Where a model of the hub is from. */
  readonly hub?: HubOrigin
  /** Empty if --all-layers was given none. */
  readonly prompt: string
  /** The ids of the prompt that counted. */
  readonly tokens: readonly number[]
  readonly continuation?: string
  readonly planner: PlannerName
  readonly criterion: string
  readonly scope: Scope
  readonly paperCompatible: boolean
  readonly seed: number
  /** Shares that were asked for. */
  readonly sparsity: { readonly heads: number; readonly neurons: number; readonly channels?: number }
  /** Shares that are skipped. */
  readonly achieved: Sparsity
  /** With the oracle's mask; null without a continuation. */
  readonly overlap: { readonly heads: OverlapWithChance; readonly neurons: OverlapWithChance } | null
  readonly layers: readonly {
    readonly layer: number
    /** The heads that are kept. */
    readonly heads: readonly number[]
    /** How many neurons are kept. */
    readonly neurons: number
    readonly achieved: Sparsity
  }[]
}

function summary({ model, origin, sizes, prompt, mask, oracleMask, flags }: Decided): MasksOutput {
  const { planner, criterion, scope, seed, paperCompatible = false, continuation } = flags
  const { sparsity, headSparsity = keepsHeads(planner) ? 0 : sparsity, neuronSparsity = sparsity } = flags
  const { layers: achievedLayers, ...achieved } = achievedSparsity(mask, sizes)
  return {
    model,
    ...(origin && { hub: origin }),
    prompt: prompt.text,
    tokens: prompt.ids,
    ...(continuation !== undefined && { continuation }),
    planner,
    criterion,
    scope,
    paperCompatible,
    seed,
    sparsity:
      plannerOf(planner).skips === 'channels'
        ? { heads: 0, neurons: 0, channels: neuronSparsity }
        : { heads: headSparsity, neurons: neuronSparsity },
    achieved,
    overlap: oracleMask && overlapOf(mask, oracleMask),
    layers: achievedLayers.map((layer, index) => ({
      layer: index,
      heads: keptUnits(maskRow(mask, 'heads', index)),
      neurons: keptUnits(maskRow(mask, 'neurons', index)).length,
      achieved: layer,
    })),
  }
}

function writeMask(path: string, { mask, flags: { planner, scope } }: Decided): Promise<void> {
  const { layers, heads, neurons } = mask.shape
  return writeSafetensors(
    path,
    new Map([
      ['head_mask', { dtype: 'F32', shape: [layers, heads], data: mask.heads }],
      ['ffn_mask', { dtype: 'F32', shape: [layers, neurons], data: mask.neurons }],
    ]),
    { planner, scope },
  )
}
