/**
 * `shadowllm convert`: any checkpoint that can be read, written as safetensors with the same bytes, or a GGUF file as another; or a
 * smaller model, without the units that a mask skips.
 */
import type { Command } from 'commander'
import { openMoments, type Moments } from '../../compensation/moments_file.ts'
import { smallerModel, type SmallerCheckpoint, type UnitCounts } from '../../compensation/smaller_model.ts'
import { parseConfig, type ModelConfig } from '../../engine/config.ts'
import { checkMask } from '../../engine/unit_lists.ts'
import type { Conversion } from '../../io/conversion.ts'
import { convertCheckpoint } from '../../io/convert.ts'
import { formats, type Format } from '../../io/gguf_formats.ts'
import type { HubOrigin } from '../../io/hub.ts'
import { openFile } from '../../io/files.ts'
import { findModelFiles, isGguf } from '../../io/load.ts'
import { refusal } from '../../io/refusal.ts'
import { DEFAULT_RIDGE, ridgeOption } from '../../masks/compensation.ts'
import { achievedSparsity } from '../../masks/achieved.ts'
import type { UnitMask } from '../../masks/mask.ts'
import { readMask } from '../../masks/mask_file.ts'
import { hashFiles } from '../../results/provenance.ts'
import { MAX_NAME, nearestName } from '../../tensor/arguments.ts'
import { UsageError } from '../../tensor/errors.ts'
import { addFlags, type ModelFlags } from '../flags.ts'
import { findWithProgress, showBytes } from '../open_model.ts'
import { checkOutput, checkOutputFolder, outputKind, whileWriting } from '../output.ts'
import { printResult } from '../report.ts'
import type { Session } from '../session.ts'
import { countOf, formatBytes, formatColumns, formatCount } from '../words.ts'
import { addOwnFlags, bytes, oneOf } from '../values.ts'

const help = `
SOURCE is a model's folder, one weights file (.safetensors, .bin, .gguf or an .index.json), or a name on the hub. OUTPUT
is a folder, which gets the configuration and the tokenizer too, or a file that ends with .safetensors or, if SOURCE
is a GGUF file, with .gguf. A new folder whose name has another ending of letters needs a / at its end.

Names, types, shapes and bytes stay as they are; nothing is rounded. Safetensors cannot share values: tensors that share
them in a .bin are each written. Only a head that config.json ties to the token table is left out, as Hugging Face does:
a reader of a tied model takes the table.

Of a GGUF file the tensors get the names and the order of rows of Hugging Face. Safetensors has no quantised blocks: they
become the float32 numbers that they stand for, exactly, and take up to eight times the space. A GGUF file has the same
numbers, or rounds matrices to --type as llama.cpp does; it keeps tokenizer and chat template.

With --mask the output is a model of fewer neurons and heads, without those that "shadowllm masks --output" skipped. Every layer
gets as many as the layer that keeps most, filled up with zeros, so make the mask with "masks --all-layers --scope per-layer", by which all
keep equally many: by --all-layers alone a layer may keep nearly all, and without it layer 0 keeps all. OPT and OLMo 2 keep all heads, of zeros where they are skipped. Layers of a GGUF file of the architecture llama keep
as many as the mask says (llama.cpp calls it deci then). --moments folds what is skipped into what is kept, by least squares
over the moments that "shadowllm calibrate --moments" collected; those matrices become float32.

Examples:
  $ shadowllm convert facebook/opt-1.3b opt-1.3b
  $ shadowllm convert opt-1.3b opt-1.3b-parts --shard-size 1GB
  $ shadowllm convert pytorch_model.bin model.safetensors
  $ shadowllm convert SmolLM2-135M-Instruct.Q4_1.gguf smollm2
  $ shadowllm calibrate -m smollm2 --text book.txt --moments --output traces
  $ shadowllm masks -m smollm2 --planner static --calibration traces --all-layers --scope per-layer --output mask.safetensors
  $ shadowllm convert smollm2 smaller --mask mask.safetensors --moments traces/moments.safetensors
  $ shadowllm convert SmolLM2-135M-Instruct.Q4_1.gguf smaller.gguf --mask mask.safetensors --type Q4_1`

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addOwnFlags(
    command
      .argument('<source>', 'folder, weights file or name on the hub')
      .argument('<output>', 'folder, or a file that ends with .safetensors or .gguf'),
    [
      [
        '--shard-size <bytes>',
        'split into files of at most so many bytes of tensors, such as 1GB (default: one file)',
        bytes,
      ],
      [
        '--type <type>',
        `type of the matrices of a .gguf file, of ${formats.join(', ')} (default: F32)`,
        oneOf(formats),
      ],
      ['--force', 'replace existing files'],
      ['--mask <file>', 'leave out the units that this mask skips, as "shadowllm masks --output" wrote it'],
      ['--moments <file>', 'fold them into the others by these moments of "shadowllm calibrate --moments"'],
      [
        '--ridge <share>',
        `λ of the least squares, beside the mean square of a unit (default: ${DEFAULT_RIDGE})`,
        ridgeOption,
      ],
    ],
  )
  addFlags(command, 'hub', 'json', 'quiet')
    .addHelpText('after', help)
    .action((source: string, output: string, flags: ConvertFlags) => run(session, source, output, flags))
}

interface ConvertFlags extends Pick<ModelFlags, 'revision' | 'offline'> {
  readonly shardSize?: number
  readonly force?: boolean
  readonly type?: Format
  readonly mask?: string
  readonly moments?: string
  readonly ridge?: number
  readonly json?: boolean
  readonly quiet?: boolean
}

/** What `--json` prints. */
export interface ConvertOutput extends Conversion {
  readonly source: string
  readonly output: string
  /** Units of a layer of a smaller model. */
  readonly units?: UnitCounts
  /** Whether those are of the layer that has most, and others have fewer. */
  readonly layersDiffer?: true
  /** Where a model of the hub is from. */
  readonly hub?: HubOrigin
}

async function run(session: Session, source: string, output: string, flags: ConvertFlags): Promise<void> {
  checkFlags(output, flags)
  const { ridge = DEFAULT_RIDGE } = flags
  await (isFile(output) ? checkOutput(output) : checkConvertedFolder(output))
  const { path, origin } = await findWithProgress(session, source, flags)
  const moments = flags.moments === undefined ? null : await openMoments(flags.moments)
  try {
    if (moments) await checkMoments(moments, path)
    const isTold = !flags.json && !flags.quiet
    let smaller: SmallerCheckpoint | undefined
    let isFirst = true
    const conversion = await whileWriting(output, () =>
      convertCheckpoint(path, output, {
        shardSize: flags.shardSize,
        type: flags.type,
        force: flags.force,
        change:
          flags.mask === undefined
            ? undefined
            : async (from, form) => {
                const config = parseConfig(from.configJson)
                const mask = await readMask(flags.mask as string, config)
                checkMask(mask, config, true)
                smaller = smallerModel(from, config, mask, moments && { moments, ridge }, form)
                if (isTold && gainsLittle(smaller, config, mask))
                  await session.note(littleWords(smaller.units))
                return smaller
              },
        signal: session.signal,
        onProgress: ({ doneBytes, totalBytes }) => {
          if (isFirst && totalBytes >= LARGE_OUTPUT && isTold)
            void session.note(sizeWords(output, totalBytes))
          isFirst = false
          showBytes(session, 'convert', doneBytes, totalBytes)
        },
      }),
    )
    session.progress.clear()
    const all: ConvertOutput = {
      source,
      output,
      ...conversion,
      ...(smaller && { units: smaller.units }),
      ...(smaller?.layersDiffer && { layersDiffer: true }),
      ...(origin && { hub: origin }),
    }
    await printResult(session, flags, all, () => describe(output, all))
    if (isGguf(output) && isTold) await noteGrowth(session, path, conversion, flags)
  } finally {
    await moments?.close()
  }
}

/** An output is told to be larger where it is so many times the input: its types are wider then, and not only its header. */
const GROWN = 1.5

/** Names --type where a GGUF file without it is larger than its source, or one of fewer units is. */
async function noteGrowth(
  session: Session,
  source: string,
  { files: [{ bytes }] }: Conversion,
  { type, mask }: ConvertFlags,
): Promise<void> {
  const file = await openFile((await findModelFiles(source)).weights)
  await file.close()
  const before = file.size
  const isTold = type === undefined ? bytes >= GROWN * before : mask !== undefined && bytes > before
  if (isTold)
    await session.note(
      `${formatBytes(before)} became ${formatBytes(bytes)}, since matrices are ${type ?? 'F32 without --type'}; --type Q4_1 and others make the file smaller`,
    )
}

/** Whether the output keeps all heads, and more than half of the neurons that the mask skips. */
function gainsLittle(
  { units, layersDiffer }: SmallerCheckpoint,
  config: ModelConfig,
  mask: UnitMask,
): boolean {
  const leftOut = 1 - units.neurons / config.neurons
  return (
    !layersDiffer && units.heads === config.heads && 2 * leftOut <= achievedSparsity(mask, config).neurons
  )
}

function littleWords(units: UnitCounts): string {
  return `little is left out, because every layer gets as many units as the layer that keeps most: ${describeUnits(units)}; by a mask of "shadowllm masks --all-layers --scope per-layer" all keep equally many`
}

const isFile = (output: string): boolean => output.endsWith('.safetensors') || isGguf(output)

/** Refuses a new folder whose name ends as that of a file, unless a slash follows. @throws UsageError OUTPUT */
async function checkConvertedFolder(output: string): Promise<void> {
  const [, stem, ending] = /^(.*[^/\\.]\.)([a-z]{2,})$/i.exec(output) ?? []
  if (ending !== undefined && (await outputKind(output)) === 'missing') {
    const near = ending.length <= MAX_NAME ? nearestName(ending, ['safetensors', 'gguf'], 3) : null
    const hint = near === null ? `for a folder, end it with /` : `did you mean ${stem}${near}?`
    throw new UsageError(
      'OUTPUT',
      `output: expected a folder, or NAME.safetensors or NAME.gguf, got ${output} (${hint})`,
    )
  }
  await checkOutputFolder(output)
}

/** So many bytes are told of before they are written. */
const LARGE_OUTPUT = 2 ** 26

function sizeWords(output: string, bytes: number): string {
  const folder = isFile(output) ? '' : ' in a folder of this name'
  return `${output}: writing ${formatBytes(bytes)}${folder}; ctrl-C leaves nothing`
}

/** @throws UsageError FLAGS for flags that need another one, or another output */
function checkFlags(output: string, { type, mask, moments, ridge }: ConvertFlags): void {
  if (type !== undefined && !isGguf(output))
    throw new UsageError('FLAGS', `--type: expected an output that ends with .gguf, got ${output}`)
  if (moments !== undefined && mask === undefined)
    throw new UsageError('FLAGS', '--moments: expected --mask with it')
  if (ridge !== undefined && moments === undefined)
    throw new UsageError('FLAGS', '--ridge: expected --moments with it')
}

/** @throws InputError MOMENTS_MODEL for moments of another model */
async function checkMoments({ path, origin }: Moments, model: string): Promise<void> {
  const { all } = await findModelFiles(model)
  const hash = await hashFiles(all)
  if (origin.model !== hash)
    throw refusal('MOMENTS_MODEL', path, `moments of the model ${hash}`, `those of ${origin.model}`)
}

function describe(
  output: string,
  { files, tensors, bytes, repeated, leftOut, units, layersDiffer }: ConvertOutput,
): string {
  const table = formatColumns(
    files.map(({ name, bytes: size }) => [name, formatBytes(size)]),
    [1],
  )
  const lines = [
    `${output}: ${countOf(tensors, 'tensor')}, ${formatBytes(bytes)}`,
    ...(units ? [`${layersDiffer ? 'a layer, at most' : 'a layer'}: ${describeUnits(units)}`] : []),
    ...leftOut.map((name) => `left out: ${name}, which config.json ties to the token table`),
    ...repeated.map((name) => `written again, because safetensors cannot share values: ${name}`),
  ]
  return `${table}\n${lines.join('\n')}\n`
}

function describeUnits({ heads, keyHeads, neurons }: UnitCounts): string {
  const groups = keyHeads === heads ? '' : ` in ${formatCount(keyHeads)} groups`
  return `${formatCount(heads)} heads${groups}, ${formatCount(neurons)} neurons`
}
