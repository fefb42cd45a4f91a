/**
 * Flags that several commands share, spelled and described once.
 */
import { Option, type Command } from 'commander'
import { backendOption, threadsOption, wideOption, type BackendName } from '../backends/backend.ts'
import { compensateOption, DEFAULT_RIDGE, promptShareOption, ridgeOption } from '../masks/compensation.ts'
import { criterionOption } from '../criteria/index.ts'
import { modeOption } from '../engine/active_layer.ts'
import { cacheOption } from '../engine/layer_cache.ts'
import { checkOption } from '../engine/next_tokens.ts'
import {
  fileStorageWords,
  storageChoiceOption,
  storageNamed,
  storages,
  type StorageChoice,
} from '../engine/storages/index.ts'
import { predictorNames } from '../io/named_predictor.ts'
import { scopeOption } from '../masks/budget.ts'
import { everyOption, prefillOption } from '../masks/planner.ts'
import { defaultEvery, defaultPrefill, plannersThat } from '../planners/index.ts'
import { seedOption } from '../tensor/option.ts'
import { flagOf } from './values.ts'

/** The flags of a command that runs a model. */
export interface ModelFlags {
  /** A GGUF file, a folder or a name on the hub; default: the embedded model. */
  readonly model?: string
  readonly revision?: string
  readonly offline?: boolean
  readonly backend: BackendName
  readonly storage?: StorageChoice
  readonly quiet?: boolean
  /** Default: one. */
  readonly threads?: number | 'auto'
}

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

const model = (more: string): Option =>
  new Option('-m, --model <name>', `FILE.gguf, a folder in Hugging Face form, or a name on the hub${more}`)
const hub = (): Option[] =>
  [
    new Option('--revision <name>', 'a branch, a tag or a commit (default: main)'),
    new Option('--offline', 'take the model from the cache, without network access'),
  ].map((option) => option.helpGroup(groups.hub))
const storage = (usual: StorageChoice): Option =>
  flagOf(
    '--storage <name>',
    `what weights are stored as; file: ${fileStorageWords}`,
    storageChoiceOption,
    usual,
  )
/** program.ts obeys it for every command. */
const wide = (): Option =>
  flagOf(
    '--wide <choice>',
    'whether wasm may use vectors of 32 bytes, where Node and the processor have them: faster, with the same bits (default: SHADOWLLM_WIDE, or on)',
    wideOption,
  )
const json = (): Option => new Option('--json', 'print one JSON object instead of text')

/** The names of the planners of which something holds, as in a sentence. */
export function listNames(holds: Parameters<typeof plannersThat>[0]): string {
  const names = plannersThat(holds)
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

/** Storages beside which the KV cache is int8. */
const rounding = storages.filter((name) => storageNamed(name).roundsActivations)

/** Flags that stand together in helps, under a heading. */
function under<Flags extends Record<string, () => Option[]>>(heading: string, flags: Flags): Flags {
  const grouped = Object.entries(flags).map(([name, make]) => [
    name,
    () => make().map((option) => option.helpGroup(heading)),
  ])
  return Object.fromEntries(grouped) as Flags
}

/** Each flag, or the few that belong together, by the name that commands ask for. */
const sharedFlags = {
  /** Which model. */
  model: () => [model(' (default: the embedded tiny-opt)'), ...hub()],
  /** That of a chat. */
  chatModel: () => [model('; one with a chat template, as most made for instructions have'), ...hub()],
  seed: () => [flagOf('--seed <number>', 'seed of all random numbers', seedOption, 0)],
  json: () => [json()],
  /** Where a report goes. */
  report: () => [json(), new Option('-o, --output <file>', 'also write the JSON object to a file')],
  /** program.ts obeys it for every command. */
  quiet: () => [new Option('-q, --quiet', 'no progress, and no closing line of numbers')],
  /** Where a model comes from, for commands that take its name otherwise. */
  hub,
  ...under(groups.masks, {
    criterion: () => [
      flagOf(
        '--criterion <name>',
        'what units are scored by, where planners or experiments score them',
        criterionOption,
        flagDefaults.criterion,
      ),
    ],
    scope: () => [
      flagOf(
        '--scope <name>',
        'whether units compete over the whole model or within their layer; hybrid has floors under both kinds; a predictor that is read may say another (default: global)',
        scopeOption,
      ),
    ],
    every: () => [
      flagOf(
        '--every <count>',
        `decide again after this many tokens, or auto: where attention has shifted since the last decision (default: once; ${listNames(({ name }) => defaultEvery(name) === 1)}: every token)`,
        everyOption,
      ),
    ],
    prefill: () => [
      flagOf(
        '--prefill <how>',
        `run the prompt dense and mask what follows, or mask the prompt too (default: masked, unless a predictor says dense; ${listNames(({ name, by }) => by !== null && defaultPrefill(name) === 'dense')}: dense)`,
        prefillOption,
      ),
    ],
    check: () => [
      flagOf(
        '--check <count>',
        'run every so many tokens again dense, in one pass, and put the dense choice in the place of the first that is another: the text is that of the dense model (default: no check)',
        checkOption,
      ),
    ],
  }),
  ...under(groups.learnt, {
    /** It may be given several times. */
    predictor: () => [
      new Option(
        '--predictor <file>',
        `a trained predictor, or the name of one in this package (${predictorNames.join(', ')}); its kind says which planner it is for, so give one for each planner that needs one`,
      )
        .argParser((file: string, before: readonly string[]) => [...before, file])
        .default([], 'for shadow the one beside the model, else that of this package'),
    ],
    /** It may be given several times. */
    moments: () => [
      new Option(
        '--moments <file>',
        'moments of another text besides those of --calibration; mixed by how well they explain the prompt, where that has a share',
      )
        .argParser((file: string, before: readonly string[]) => [...before, file])
        .default([], 'none'),
    ],
    compensate: () => [
      flagOf(
        '--compensate <way>',
        'what takes the place of what is skipped, by moments of "calibrate --moments" (default: none, zeros)',
        compensateOption,
      ),
    ],
    ridge: () => [
      flagOf(
        '--ridge <share>',
        `λ of least squares, beside the mean square of a unit (default: ${DEFAULT_RIDGE})`,
        ridgeOption,
      ),
    ],
    promptShare: () => [
      flagOf(
        '--prompt-share <share>',
        'share of the prompt in the moments; above 0 the prompt runs dense (default: 0)',
        promptShareOption,
      ),
    ],
  }),
  ...under(groups.machine, {
    backend: () => [
      flagOf('--backend <name>', 'the backend that computes', backendOption, flagDefaults.backend),
      wide(),
    ],
    wide: () => [wide()],
    storage: () => [storage('f32')],
    /** For commands that write. */
    fileStorage: () => [storage('file')],
    threads: () => [
      flagOf(
        '--threads <count>',
        'threads that may compute, or auto; more than one where measured to be faster (default: 1)',
        threadsOption,
      ),
    ],
    cache: () => [
      flagOf(
        '--cache <storage>',
        `what the KV cache is stored as (default: int8 if weights are ${rounding.join(' or ')}, else f32)`,
        cacheOption,
      ),
    ],
    mode: () => [
      flagOf(
        '--mode <name>',
        'how a mask is executed: pack the kept units, skip the others in place, simulate by multiplying, or the cheapest of these',
        modeOption,
        'auto',
      ),
    ],
  }),
} satisfies Record<string, () => Option[]>

/** Adds flags to a command, in this order. */
export function addFlags(command: Command, ...names: (keyof typeof sharedFlags)[]): Command {
  for (const option of names.flatMap((name) => sharedFlags[name]())) command.addOption(option)
  return command
}
