/**
 * Flags that several commands share, spelled and described once.
 */
import type { Command } from 'commander'
import { backendOption, threadsOption, wideOption } from '../backends/backend.ts'
import { compensateOption, DEFAULT_RIDGE, promptShareOption, ridgeOption } from '../masks/compensation.ts'
import { criterionOption } from '../criteria/index.ts'
import { modeOption } from '../engine/active_layer.ts'
import { cacheOption } from '../engine/layer_cache.ts'
import { checkOption } from '../engine/next_tokens.ts'
import { fileStorageWords, storageChoiceOption, storageNamed, storages } from '../engine/storages/index.ts'
import { predictorNames } from '../io/named_predictor.ts'
import { scopeOption } from '../masks/budget.ts'
import { everyOption, prefillOption } from '../masks/planner.ts'
import { defaultEvery, defaultPrefill, plannersThat } from '../planners/index.ts'
import { seedOption } from '../tensor/option.ts'
import { addOwnFlags, severalOf, type FlagsOf } from './values.ts'

/** Headings of flags in helps; flags without one stand first. */
export const groups = {
  hub: 'Models of the hub:',
  masks: 'How masks are decided:',
  learnt: 'Predictors, calibrations and compensation:',
  sampling: 'How tokens are drawn:',
  machine: 'Machine and memory:',
} as const

/** Defaults of flags that commands compare with what was given. */
export const flagDefaults = { backend: 'wasm', criterion: 'plainact' } as const

/** The names of the planners of which something holds, as in a sentence. */
export function listNames(holds: Parameters<typeof plannersThat>[0]): string {
  const names = plannersThat(holds)
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

/** Storages beside which the KV cache is int8. */
const rounding = storages.filter((name) => storageNamed(name).roundsActivations)

/** Whose model it is. */
const source = 'FILE.gguf, a folder in Hugging Face form, or a name on the hub'
const stored = `what weights are stored as; file: ${fileStorageWords}`

/** Flags without a heading. */
const plain = {
  model: ['-m, --model <name>', `${source} (default: the embedded tiny-opt)`],
  /** That of a chat. */
  chatModel: [
    '-m, --model <name>',
    `${source}; one with a chat template, as most made for instructions have (required)`,
  ],
  seed: ['--seed <number>', 'seed of all random numbers', seedOption, 0],
  json: ['--json', 'print one JSON object instead of text'],
  output: ['-o, --output <file>', 'also write the JSON object to a file'],
  /** program.ts obeys it for every command. */
  quiet: ['-q, --quiet', 'no progress, and no closing line of numbers'],
} as const

/** Where a model of the hub comes from. */
const hub = {
  revision: ['--revision <name>', 'a branch, a tag or a commit (default: main)'],
  offline: ['--offline', 'take the model from the cache, without network access'],
} as const

const masks = {
  criterion: [
    '--criterion <name>',
    'the measure of how much a unit matters, for planners and experiments that score units; plainact, that of the paper, is the size of activation times gradient; obs is the error that the kept units cannot make up for, and needs moments',
    criterionOption,
    flagDefaults.criterion,
  ],
  scope: [
    '--scope <name>',
    'where units compete to be kept: in the whole model or within their layer; hybrid keeps at least some heads and neurons of each layer; a predictor may name another (default: global)',
    scopeOption,
  ],
  every: [
    '--every <count>',
    `decide again after this many tokens, or auto: where attention has shifted since the last decision (default: once; ${listNames(({ name }) => defaultEvery(name) === 1)}: every token)`,
    everyOption,
  ],
  prefill: [
    '--prefill <how>',
    `run the prompt dense and mask what follows, or mask the prompt too (default: masked, unless a predictor says dense; ${listNames(({ name, by }) => by !== null && defaultPrefill(name) === 'dense')}: dense)`,
    prefillOption,
  ],
  check: [
    '--check <count>',
    'after this many tokens, run them again dense in one pass, and replace the first one that the dense model would not write: the text is exactly that of the dense model; it takes longer than without a mask if many tokens are replaced (default: no check)',
    checkOption,
  ],
} as const

const learnt = {
  predictor: severalOf(
    '--predictor <file>',
    `a trained predictor, or the name of one in this package (${predictorNames.join(', ')}); its kind says which planner it is for, so give one for each planner that needs one`,
    'for shadow the one beside the model, else that of this package',
  ),
  moments: severalOf(
    '--moments <file>',
    'moments of another text, in addition to those of --calibration; with --prompt-share each counts by how well it explains the prompt',
    'none',
  ),
  compensate: [
    '--compensate <way>',
    'what stands in for skipped units: their mean, or least squares from the kept ones; it needs moments from "calibrate --moments" (default: none, which is zeros)',
    compensateOption,
  ],
  ridge: [
    '--ridge <share>',
    `the penalty λ of least squares, as a share of the mean square of a unit (default: ${DEFAULT_RIDGE})`,
    ridgeOption,
  ],
  promptShare: [
    '--prompt-share <share>',
    'weight of the prompt in the moments, from 0 to 1; above 0 the prompt runs dense (default: 0)',
    promptShareOption,
  ],
} as const

const machine = {
  backend: ['--backend <name>', 'the backend that computes', backendOption, flagDefaults.backend],
  /** program.ts obeys it for every command. */
  wide: [
    '--wide <choice>',
    'let wasm use 32-byte vectors if Node and the processor support them; this is faster and gives the same bits (default: SHADOWLLM_WIDE, or on)',
    wideOption,
  ],
  storage: ['--storage <name>', stored, storageChoiceOption, 'f32'],
  /** For commands that write. */
  fileStorage: ['--storage <name>', stored, storageChoiceOption, 'file'],
  threads: [
    '--threads <count>',
    'the most threads that compute, or auto; more than one only if measured to be faster (default: 1)',
    threadsOption,
  ],
  cache: [
    '--cache <storage>',
    `what the KV cache is stored as (default: int8 if weights are ${rounding.join(' or ')}, else f32)`,
    cacheOption,
  ],
  mode: [
    '--mode <name>',
    'how a mask is carried out: copy the kept units together (pack), leave out the others in place (skip), multiply by zero (simulate), or whichever is fastest (auto)',
    modeOption,
    'auto',
  ],
} as const

const rows = { ...plain, ...hub, ...masks, ...learnt, ...machine }
type RowName = keyof typeof rows

/** Flags that stand together, by the name that commands ask for. */
const together = {
  model: ['model', 'revision', 'offline'],
  chatModel: ['chatModel', 'revision', 'offline'],
  /** For commands that take the name of a model otherwise. */
  hub: ['revision', 'offline'],
  /** Where a report goes. */
  report: ['json', 'output'],
  backend: ['backend', 'wide'],
} as const satisfies Record<string, readonly RowName[]>

/** What commands ask for: one flag, or a few that belong together. */
type SharedName = RowName | keyof typeof together
type RowsOf<Name extends SharedName> = Name extends keyof typeof together
  ? (typeof together)[Name][number]
  : Name

/** What a command is given for some of these flags. */
export type SharedFlags<Name extends SharedName> = FlagsOf<readonly (typeof rows)[RowsOf<Name> & RowName][]>

/** The flags of a command that runs a model. */
export type ModelFlags = SharedFlags<'model' | 'backend' | 'quiet'> &
  Partial<SharedFlags<'storage' | 'threads'>>

/** Adds flags to a command, in this order. */
export function addFlags(command: Command, ...names: SharedName[]): Command {
  const all = names.flatMap((name): readonly RowName[] =>
    name in together ? together[name as keyof typeof together] : [name as RowName],
  )
  const sections = { hub, masks, learnt, machine }
  for (const name of all) {
    const section = Object.entries(sections).find(([, flags]) => name in flags)
    addOwnFlags(command, [rows[name]], section && groups[section[0] as keyof typeof sections])
  }
  return command
}
