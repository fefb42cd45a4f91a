/**
 * `shadowllm convert`: any checkpoint that can be read, written as safetensors with the same bytes.
 */
import type { Command } from 'commander'
import { convertCheckpoint, type Conversion } from '../../io/convert.ts'
import type { HubOrigin } from '../../io/hub.ts'
import { addFlags, type ModelFlags } from '../flags.ts'
import { findWithProgress, showBytes } from '../open_model.ts'
import { checkOutput, checkOutputFolder, whileWriting } from '../output.ts'
import { printResult } from '../report.ts'
import type { Session } from '../session.ts'
import { formatBytes, formatColumns, formatCount } from '../words.ts'
import { bytes, addOwnFlags } from '../values.ts'

const help = `
SOURCE is a model's folder, one weights file (.safetensors, .bin, .gguf or an .index.json), or a name on the hub. OUTPUT
is a folder, which gets the configuration and the tokenizer too, or a file that ends with .safetensors.

Names, types, shapes and bytes stay as they are; nothing is rounded. Safetensors cannot share values: tensors that share
them in a .bin are each written. Only a head that config.json ties to the token table is left out, as Hugging Face does:
a reader of a tied model takes the table.

Of a GGUF file the tensors get the names and the order of rows of Hugging Face. Safetensors has no quantised blocks: they
become the float32 numbers that they stand for, exactly, and take up to eight times the space.

Examples:
  $ shadowllm convert facebook/opt-1.3b opt-1.3b
  $ shadowllm convert opt-6.7b opt-6.7b-parts --shard-size 5GB
  $ shadowllm convert pytorch_model.bin model.safetensors
  $ shadowllm convert SmolLM2-135M-Instruct.Q4_1.gguf smollm2`

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addOwnFlags(
    command
      .argument('<source>', 'folder, weights file or name on the hub')
      .argument('<output>', 'folder, or a file that ends with .safetensors'),
    [
      ['--shard-size <bytes>', 'split into files of at most so many bytes of tensors', bytes],
      ['--force', 'replace existing files'],
    ],
  )
  addFlags(command, 'hub', 'json', 'quiet')
    .addHelpText('after', help)
    .action((source: string, output: string, flags: ConvertFlags) => run(session, source, output, flags))
}

interface ConvertFlags extends Pick<ModelFlags, 'revision' | 'offline'> {
  readonly shardSize?: number
  readonly force?: boolean
  readonly json?: boolean
}

/** What `--json` prints. */
export interface ConvertOutput extends Conversion {
  readonly source: string
  readonly output: string
  /** Where a model of the hub is from. */
  readonly hub?: HubOrigin
}

async function run(session: Session, source: string, output: string, flags: ConvertFlags): Promise<void> {
  await (output.endsWith('.safetensors') ? checkOutput(output) : checkOutputFolder(output))
  const { path, origin } = await findWithProgress(session, source, flags)
  const conversion = await whileWriting(output, () =>
    convertCheckpoint(path, output, {
      shardSize: flags.shardSize,
      force: flags.force,
      signal: session.signal,
      onProgress: ({ doneBytes, totalBytes }) => showBytes(session, 'convert', doneBytes, totalBytes),
    }),
  )
  session.progress.clear()
  const all: ConvertOutput = { source, output, ...conversion, ...(origin && { hub: origin }) }
  await printResult(session, flags, all, () => describe(output, conversion))
}

function describe(output: string, { files, tensors, bytes, repeated, leftOut }: Conversion): string {
  const table = formatColumns(
    files.map(({ name, bytes: size }) => [name, formatBytes(size)]),
    [1],
  )
  const lines = [
    `${output}: ${formatCount(tensors)} tensors, ${formatBytes(bytes)}`,
    ...leftOut.map((name) => `left out: ${name}, which config.json ties to the token table`),
    ...repeated.map((name) => `written again, because safetensors cannot share values: ${name}`),
  ]
  return `${table}\n${lines.join('\n')}\n`
}
