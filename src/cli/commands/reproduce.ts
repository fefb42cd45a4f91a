/**
 * `shadowllm reproduce`: the main job, ShadowLLM from calibration to perplexity and speed beside its baselines; and, by
 * name, every experiment of the paper.
 */
import type { Command } from 'commander'
import type { ExperimentResult } from '../../results/experiment_result.ts'
import type { ExperimentContext } from '../../experiments/experiment.ts'
import { experimentNames, runByName, sparsityExperiments } from '../../experiments/index.ts'
import { ExperimentCache, type CacheOptions } from '../../experiments/cache/experiment_cache.ts'
import { jobThreads } from '../../evaluation/jobs/threads.ts'
import { defaultThreads } from '../../jobs/model_threads.ts'
import type { JobRunner } from '../../jobs/runner.ts'
import { threadRunner } from '../../jobs/thread_runner.ts'
import type { MeasuredRun } from '../../results/measured_run.ts'
import { methodHash } from '../../results/method_hash.ts'
import { hashFiles } from '../../results/provenance.ts'
import { openPartStore, type PartStore } from '../../results/part_store.ts'
import {
  formatReport,
  reproduceExperiment,
  type ReproduceReport,
} from '../../experiments/reproduce_report.ts'
import { renderHtml } from '../../experiments/report/html.ts'
import { renderJson } from '../../experiments/report/json.ts'
import { formatExperiment } from '../../results/terminal.ts'
import { reproduce, type ReproduceOptions } from '../../experiments/reproduce.ts'
import { settingsBySize, type ExperimentSize, type Settings } from '../../evaluation/settings.ts'
import { loadBrown, splitDocuments } from '../../data/corpus.ts'
import { readWikitext } from '../../data/wikitext.ts'
import { fileNameOf, joinPath, remove, temporaryFolder, temporaryName } from '../../platform/platform.ts'
import { featureScalings, targetScalings } from '../../predictor/features.ts'
import { savePredictor as writePredictor } from '../../predictor/predictor_file.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { UsageError } from '../../tensor/errors.ts'
import { addFlags, flagDefaults, type SharedFlags } from '../flags.ts'
import { namedSource, withModel } from '../open_model.ts'
import { checkFigures, checkOutput, whileWriting, writeOutput } from '../output.ts'
import { addQueueFlags, checkQueueFlags, withRunner, type QueueFlags } from '../queue_flags.ts'
import { showReport } from '../report.ts'
import type { Session } from '../session.ts'
import {
  addGridFlags,
  checkGridFlags,
  gridChoice,
  gridWords,
  withGridInputs,
  type GridFlags,
} from '../grid_flags.ts'
import { addOwnFlags, listOf, oneOf, parsedBy, readList, sharesOf, whole, type FlagsOf } from '../values.ts'
import { nameOption, seedOption } from '../../tensor/option.ts'
import { present } from '../../tensor/records.ts'

const help = `
It scores every head and neuron by backward passes over documents of the Brown corpus, trains the predictors on those
scores, and measures on other documents: perplexity under masks that the prompt decides, for every planner, and decode
speed with the units skipped. Ctrl-C reports what is finished; the same command continues from there, because parts are
kept in a cache by the hash of their inputs.

Experiments: ${experimentNames.join(', ')}.

Examples:
  $ shadowllm reproduce --quick
  $ shadowllm reproduce --full
  $ shadowllm reproduce --sparsity 0.5,0.8 --seed 1 --json > report.json
  $ shadowllm reproduce --html report.html
  $ shadowllm reproduce --experiment two-by-two,placement --seeds 0,1,2 --html report.html
  $ shadowllm reproduce --experiment all --quick
  $ shadowllm reproduce --experiment grid --planner static,griffin,shadow --units neurons --sparsity 0.3,0.5 --no-speed
  $ shadowllm reproduce --features min_max --targets per_layer # the scalings of the released code
  $ shadowllm reproduce -m DIR --output report.json --save-predictor predictor.safetensors`

const choiceFlags = [
  ['--quick', 'short windows, and few of them: less than a minute on the embedded model'],
  ['--full', 'more windows, at more sparsities: some five minutes on the embedded model'],
  parsedBy(
    '--experiment <names>',
    'experiments of the paper in place of the comparison, separated by commas, or all (default: none)',
    experimentsFlag,
  ),
] as const

/** The defaults of a setting, in words. */
function usualOf(name: 'sparsities' | 'evaluation' | 'calibration'): string {
  const { quick, usual, full } = settingsBySize
  return `default: ${String(usual[name])}; --quick ${String(quick[name])}, --full ${String(full[name])}`
}

const settingFlags = [
  sharesOf('--sparsity <list>', `shares to skip, separated by commas (${usualOf('sparsities')})`),
  ['--limit <count>', `how many windows to score (${usualOf('evaluation')})`, whole(1)],
  ['--examples <count>', `how many windows to calibrate on (${usualOf('calibration')})`, whole(2)],
  ['--wikitext <file>', 'WikiText to score windows of, raw or parquet; calibration keeps the Brown corpus'],
  ['--final', 'score windows of the documents of the Brown corpus that are read for published figures alone'],
  ['--features <scaling>', 'how the predictor input is scaled (default: standard)', oneOf(featureScalings)],
  ['--targets <scaling>', 'how the scores it learns are scaled (default: raw)', oneOf(targetScalings)],
] as const

const runFlags = [
  listOf(
    '--seeds <list>',
    'several seeds for --experiment in place of the one of --seed, such as 0,1,2 (default: none)',
    seedOption,
  ),
  ['--threads <count>', 'threads, each with a model of its own (default: as many as fit)', whole(1, 64)],
] as const

const cacheFlags = [
  ['--cache <dir>', "where parts are kept for other runs (default: the user's cache folder)"],
  ['--no-cache', 'keep no parts and use none'],
  ['--no-speed', 'do not measure decode speed; the rest of the report is the same on every machine'],
] as const

const outputFlags = [
  ['--html <file>', 'also write a report with figures, as one self-contained file'],
  ['--save-predictor <file>', 'write the trained predictor to a file'],
] as const

type OwnFlags = FlagsOf<typeof choiceFlags> &
  FlagsOf<typeof settingFlags> &
  FlagsOf<typeof runFlags> &
  FlagsOf<typeof outputFlags>
type ReproduceFlags = OwnFlags &
  GridFlags &
  QueueFlags &
  SharedFlags<'model' | 'criterion' | 'scope' | 'seed' | 'backend' | 'report' | 'quiet'> & {
    /** A folder by `--cache`, false by `--no-cache`. */
    readonly cache: boolean | string
    readonly speed: boolean
  }

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addOwnFlags(command, choiceFlags)
  addFlags(command, 'model', 'criterion', 'scope')
  addOwnFlags(command, settingFlags)
  addFlags(command, 'seed')
  addOwnFlags(command, runFlags)
  addOwnFlags(command, cacheFlags)
  addGridFlags(command)
  addFlags(command, 'backend')
  addOwnFlags(addFlags(addQueueFlags(command), 'report'), outputFlags)
  addFlags(command, 'quiet')
    .addHelpText('after', help)
    .action((flags: ReproduceFlags) => runReproduce(session, flags))
}

/** Names of experiments, or `all`. */
function experimentsFlag(text: string): readonly string[] {
  const names = readList('--experiment', text, nameOption('EXPERIMENT', ['all', ...experimentNames]))
  return names.includes('all') ? experimentNames : names
}

async function runReproduce(session: Session, flags: ReproduceFlags): Promise<void> {
  await checkFigures(flags.html)
  for (const path of [flags.output, flags.savePredictor]) if (path !== undefined) await checkOutput(path)
  checkExperimentFlags(flags)
  if (flags.seeds && !flags.experiment)
    throw new UsageError('FLAGS', '--seeds: expected --experiment, got none; --seed is for the comparison')
  if (flags.final && flags.wikitext !== undefined)
    throw new UsageError('FLAGS', `--final: expected the Brown corpus, got --wikitext ${flags.wikitext}`)
  if (flags.quick && flags.full) throw new UsageError('FLAGS', '--full: expected it or --quick, got both')
  checkQueueFlags(flags)
  checkGridFlags(flags, flags.experiment ?? [])
  if (flags.queue && flags.cache === false)
    throw new UsageError('FLAGS', '--queue: expected a cache for the results of the jobs, got --no-cache')
  const complete = await withStore(flags, (store) =>
    withModel(session, { ...flags, threads: 1 }, (opt) =>
      withWorkers(session, opt, flags, async (runner) => {
        const parts = { store, runner, ...(await evaluatedText(flags)) }
        if (flags.experiment)
          return withGridInputs(opt, flags, (given) =>
            runExperiments(session, opt, flags, { ...parts, ...given }),
          )
        const report = await run(session, opt, flags, parts)
        await show(session, report, flags)
        return report.complete
      }),
    ),
  )
  // The finished part has been shown; the exit code says that the run was stopped.
  if (!complete) session.signal.throwIfAborted()
}

/** Refuses what the experiments that were asked for would not take notice of. @throws UsageError FLAGS */
function checkExperimentFlags({ experiment: names, ...flags }: ReproduceFlags): void {
  if (!names) return
  const ofComparison = {
    criterion: flags.criterion !== flagDefaults.criterion,
    scope: flags.scope !== undefined && !names.includes('grid'),
    'save-predictor': flags.savePredictor !== undefined,
  }
  for (const [flag, isGiven] of Object.entries(ofComparison))
    if (isGiven) throw new UsageError('FLAGS', `--${flag}: expected the comparison, got --experiment`)
  if (flags.sparsity && !names.some((name) => sparsityExperiments.includes(name)))
    throw new UsageError(
      'FLAGS',
      `--sparsity: expected the comparison, or --experiment ${sparsityExperiments.join(' or ')}, got ${names.join(',')}`,
    )
}

/** Works with the store of parts that was asked for, or with one that is removed afterwards. */
async function withStore<T>({ cache }: ReproduceFlags, work: (store: PartStore) => Promise<T>): Promise<T> {
  if (cache !== false) return work(await openPartStore(cache === true ? undefined : cache))
  const folder = temporaryName(joinPath(temporaryFolder(), 'shadowllm-parts'))
  try {
    return await work(await openPartStore(folder))
  } finally {
    await remove(folder)
  }
}

/** Works with a runner over the queue that was asked for, or over threads of this process; null if this one is enough. */
async function withWorkers<T>(
  session: Session,
  opt: ShadowModel,
  flags: ReproduceFlags,
  work: (runner: JobRunner | null) => Promise<T>,
): Promise<T> {
  const { calibration, evaluation } = allSettings(flags)
  const { threads = defaultThreads(opt.config, Math.max(calibration, evaluation)) } = flags
  if (flags.queue || threads === 1) return withRunner(session, opt, flags, work)
  const [hash, method] = [await hashFiles(opt.files), await methodHash()]
  const start = { path: opt.weightsFile, backend: opt.model.backend.name, hash, method }
  const runner = threadRunner(jobThreads(start), threads)
  try {
    return await work(runner)
  } finally {
    await runner.close()
  }
}

/** Where parts are kept, who makes them in place of this process, what is scored in place of the Brown corpus, and by what. */
type Parts = Pick<
  CacheOptions,
  'store' | 'runner' | 'evaluated' | 'dataName' | 'predictors' | 'mean' | 'moments'
>

async function evaluatedText({
  wikitext,
  final,
  calibration: folder,
  moments,
}: ReproduceFlags): Promise<Pick<Parts, 'evaluated' | 'dataName'>> {
  if (final) return { evaluated: splitDocuments(await loadBrown()).final, dataName: 'Brown corpus, final' }
  if (wikitext === undefined) return {}
  const { name, pages } = await readWikitext(wikitext)
  const calibration = folder === undefined ? 'Brown corpus' : await calibratedText(folder)
  const others = moments.length > 0 ? `; moments: ${moments.map(fileNameOf).join(', ')}` : ''
  return { evaluated: pages, dataName: `${name}; calibration: ${calibration}${others}` }
}

/** The text of a calibration. @throws InputError as `openCalibration` */
async function calibratedText(folder: string): Promise<string> {
  const { openCalibration } = await import('../../calibration/open.ts')
  return (await openCalibration(folder)).manifest.data.name
}

function run(
  session: Session,
  opt: ShadowModel,
  flags: ReproduceFlags,
  parts: Parts,
): Promise<ReproduceReport> {
  const { criterion, scope, seed, speed, savePredictor } = flags
  const options: ReproduceOptions = {
    ...namedSource(opt, session),
    settings: settingsOf(flags),
    onPredictor: async (predictor) => {
      if (savePredictor === undefined) return
      await whileWriting(savePredictor, () => writePredictor(savePredictor, predictor))
    },
    size: sizeOf(flags),
    criterion,
    scope,
    seed,
    speed,
    ...parts,
  }
  return reproduce(options, (progress) => session.progress.update(progress), session.signal)
}

function sizeOf({ quick, full }: ReproduceFlags): ExperimentSize {
  return quick ? 'quick' : full ? 'full' : 'usual'
}

/** The settings of a run: those of its size, unless flags say otherwise. */
function allSettings(flags: ReproduceFlags): Settings {
  return { ...settingsBySize[sizeOf(flags)], ...settingsOf(flags) }
}

function settingsOf({ sparsity, limit, examples, features, targets }: ReproduceFlags): Partial<Settings> {
  return present({ sparsities: sparsity, evaluation: limit, calibration: examples, features, targets })
}

async function show(session: Session, report: ReproduceReport, flags: ReproduceFlags): Promise<void> {
  const more =
    sizeOf(flags) === 'usual'
      ? `--full scores ${settingsBySize.full.evaluation} windows at ${settingsBySize.full.sparsities.length} sparsities, in some five minutes.\n`
      : ''
  await showReport(session, flags, report, (_, { columns }) => `${formatReport(report, columns)}\n${more}`)
  if (flags.html === undefined) return
  const experiment = reproduceExperiment(report, `shadowllm ${session.args.join(' ')}`)
  await writeOutput(flags.html, await renderHtml([experiment], report.provenance))
}

/**
 * Runs experiments one after the other. Each result is shown at once, and kept if a later experiment fails.
 * @returns whether all of them are complete
 */
async function runExperiments(
  session: Session,
  opt: ShadowModel,
  flags: ReproduceFlags,
  parts: Parts,
): Promise<boolean> {
  const { experiment: names = [], seed, seeds = [seed] } = flags
  const settings = allSettings(flags)
  const measured: MeasuredRun[] = []
  let running = ''
  const openCache = (options: Partial<CacheOptions> = {}): Promise<ExperimentCache> =>
    ExperimentCache.open({
      ...namedSource(opt, session),
      prompt: settings.prompt,
      continuation: settings.continuation,
      ...parts,
      signal: session.signal,
      onProgress: ({ stage, done, total }) =>
        session.progress.update({ stage: `${running}: ${stage}`, done, total }),
      onMeasured: (run) => measured.push(run),
      ...options,
    })
  const cache = await openCache()
  const results: ExperimentResult[] = []
  try {
    for (const name of names) {
      running = name
      const context: ExperimentContext = {
        settings,
        seeds,
        cache,
        openCache,
        measured,
        command: commandOf(name, flags),
        grid: gridChoice(flags, flags.speed),
      }
      const result = await runByName(name, context)
      results.push(result)
      if (!flags.json)
        await session.print(
          `${results.length > 1 ? '\n' : ''}${formatExperiment(result, session.screen.columns)}`,
        )
    }
  } catch (error) {
    if (!session.signal.aborted || error !== session.signal.reason) throw error
  } finally {
    await cache.dispose()
  }
  const provenance = await cache.provenance(seeds[0])
  const json = renderJson(results, provenance)
  if (flags.json) await session.print(json)
  if (flags.output !== undefined) await writeOutput(flags.output, json)
  if (flags.html !== undefined && results.length > 0)
    await writeOutput(flags.html, await renderHtml(results, provenance))
  return results.length === names.length && results.every(({ complete }) => complete)
}

/** What makes one experiment of this run again. */
function commandOf(name: string, flags: ReproduceFlags): string {
  const { model, backend, limit, examples, wikitext, sparsity, seed, seeds, features, targets } = flags
  const words: [string, string | number | undefined][] = [
    ['-m', model],
    ['--backend', backend === flagDefaults.backend ? undefined : backend],
    ['--limit', limit],
    ['--examples', examples],
    ['--wikitext', wikitext],
    ['--sparsity', sparsity?.join(',')],
    ['--features', features],
    ['--targets', targets],
    ['--seeds', seeds?.join(',')],
    ['--seed', seeds || seed === 0 ? undefined : seed],
    ...(name === 'grid' ? gridWords(flags) : []),
  ]
  const unTimed = name === 'grid' && !flags.speed ? ['--no-speed'] : []
  const final = flags.final ? ['--final'] : []
  const rest = words.flatMap(([flag, value]) => (value === undefined ? [] : [flag, String(value)]))
  const size = sizeOf(flags)
  const sized = size === 'usual' ? [] : [`--${size}`]
  return ['shadowllm reproduce --experiment', name, ...sized, ...unTimed, ...final, ...rest].join(' ')
}
