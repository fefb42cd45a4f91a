/**
 * The application: the page shows a function of one trace, a selection and the chosen cell. Each event changes one of these
 * and renders the page again, at most once per frame.
 */
import type { UnitMask } from '../masks/mask.ts'
import { avoidsMotion, pageDocument, pageFragment, replaceFragment } from '../platform/platform.ts'
import { ShadowError } from '../tensor/errors.ts'
import type { StudyPlanner } from './engine/study_types.ts'
import type { PredictorParts } from './engine/predictor_parts.ts'
import { defaultState, defaultView, encodeState, readState, refusalOfUnits, type View } from './page_state.ts'
import { messageOf, type Session } from './session.ts'
import { specificationAddress } from './spec_page/settings.ts'
import { sameCell, type Cell } from './view/cells.ts'
import { Controls } from './view/controls.ts'
import { brief, byId, perFrame, rankWords, showInSight, tellProblem } from './view/dom.ts'
import { Inspector, type InspectorState } from './view/inspector.ts'
import { startGlossary } from './view/glossary.ts'
import { factsOf, showHeadline } from './view/headline.ts'
import { NetworkView } from './view/network_view.ts'
import { showChanged, showDrawn, showOverview, showSwitched } from './view/overview.ts'
import { plannerNames, showPlanner } from './view/planner_words.ts'
import { PredictorView } from './view/predictor_view.ts'
import { TextsView } from './view/texts.ts'
import { Timeline } from './view/timeline.ts'
import { Tip } from './view/tip.ts'
import { NextTokens } from './next_tokens.ts'
import { switchUnits } from './engine/unit_switches.ts'
import { canSwitch, isWrittenUnder, Switches } from './trace/switches.ts'
import {
  changedUnits,
  decisionOf,
  hasPromptOf,
  isSameModel,
  Masks,
  type Trace,
  type TraceModel,
} from './trace/trace.ts'
import { placeOf, unitFacts, type Unit, type UnitFacts } from './trace/unit_facts.ts'

/** What is looked at when the page opens: the head of the embedded model that the first prompt needs most. */
const FIRST_UNIT: Unit = { kind: 'heads', layer: 4, index: 6 }

/** Space between a chosen unit and the sheet that describes it. */
const SHEET_MARGIN = 24

function cellOf({ kind, layer, index }: Unit): Cell {
  return { kind, layer, span: { start: index, end: index + 1 } }
}

/** The page. */
export class App {
  readonly #session: Session
  readonly #controls: Controls
  readonly #timeline: Timeline
  readonly #network: NetworkView
  readonly #texts: TextsView
  readonly #inspector: Inspector
  readonly #next: NextTokens
  readonly #predictor = new PredictorView()
  readonly #tip = new Tip()
  #switches = new Switches()
  readonly #refresh = perFrame(() => this.#show())
  #trace: Trace | null = null
  #masks: Masks | null = null
  /** The last text of another prompt. */
  #former: Trace | null = null
  #column = 0
  /** Whether the newest column is shown while the text is generated. */
  #follows = true
  #cell: Cell | null = cellOf(FIRST_UNIT)
  /** Whether units that the oracle decides otherwise are marked. */
  #compares = false
  /** Whether the planner was changed because the model has no predictor. */
  #isFallback = false
  /** Whether the trace was computed when the page was built. */
  #isFirst = false
  #keeping: ReturnType<typeof setTimeout> | undefined
  /** What an address asks to be looked at, until it is there. */
  #asked: View = defaultView
  /** What of the address was refused. */
  #refused: readonly string[] = []
  /** Whether the trace is still that of a text before the one that was asked for and refused. */
  #isFormer = false
  /** The prompt of the form when the texts were asked for. */
  #prompt: string | null = null
  /** The inside of the predictor, and the prompt it was read for. */
  #parts: { readonly prompt: Int32Array; readonly parts: PredictorParts | null } | null = null

  constructor(session: Session) {
    this.#session = session
    this.#controls = new Controls({
      write: () => this.#writeAnew(),
      chooseExample: () => {
        this.#switches.clear()
        this.#inspector.close()
      },
      type: this.#refresh,
      select: (isFinal) => {
        clearTraceAnswer()
        if (isFinal && this.#isOfModel) this.#writeAnew()
        else this.#refresh()
      },
      stop: () => {
        session.stop()
        this.#refresh()
      },
    })
    this.#timeline = new Timeline(byId('timeline'), (column, cell) => this.#choose(column, cell))
    this.#network = new NetworkView(byId('layers'), {
      choose: (cell, at) => {
        this.#choose(this.#column, cell)
        this.#showAbove(at)
        // The sheet says the same, and more.
        if (this.#inspector.sheetTop !== null) this.#tip.hide()
      },
      toggle: () => this.#toggle(),
      open: openPredictor,
      point: (what, at) =>
        what ? this.#tip.show(this.#describe(what), byId('layers'), at) : this.#tip.hide(),
    })
    this.#texts = new TextsView(byId('sparse-text'), byId('dense-text'), (column) =>
      this.#choose(column, this.#cell),
    )
    this.#inspector = new Inspector(byId('inspector'), {
      toggle: () => this.#toggle(),
      clear: () => this.#unswitch(),
      choose: (unit) => this.#choose(this.#column, cellOf(unit)),
    })
    this.#next = new NextTokens(session, this.#refresh)
    const compares = byId<HTMLInputElement>('compare')
    compares.addEventListener('change', () => {
      byId('picture').classList.toggle('compares', compares.checked)
      this.#change(() => (this.#compares = compares.checked))
      this.#keepAddress()
    })
    byId('look-inside').addEventListener('click', openPredictor)
    byId('unswitch').addEventListener('click', () => this.#unswitch())
    byId('problem-close').addEventListener('click', () => {
      this.#refused = []
      this.tell('')
    })
    // Before the link is followed, in this window or another.
    for (const event of ['pointerdown', 'focusin'])
      pageDocument().addEventListener(event, ({ target }) => {
        const link = (target as Element).closest<HTMLAnchorElement>('a[data-spec]')
        if (link?.origin === location.origin)
          link.href = specificationAddress(link.href, this.#controls.state)
      })
    startGlossary(this.#tip)
    this.#controls.state = defaultState
    this.#show()
  }

  /** Takes the state from the address of the page. @returns whether the address holds one */
  readAddress(): boolean {
    const read = readState(pageFragment())
    if (!read) return false
    this.#controls.state = read.state
    this.#asked = read.view
    this.#refused = read.refused
    const { unit, compares, off, on } = read.view
    this.#switches = new Switches(
      [off, on].flatMap((units, i) => units.map((one) => ({ unit: one, on: i === 1 }))),
    )
    this.#cell = cellOf(unit ?? FIRST_UNIT)
    const box = byId<HTMLInputElement>('compare')
    if (compares !== box.checked) box.click()
    this.tell('')
    return true
  }

  /** Ends switches of units that a model does not have, which an address can ask for. */
  #checkSwitches({ shape }: Pick<TraceModel, 'shape'>): void {
    const refusal = refusalOfUnits(this.#switched, shape)
    if (refusal === null) return
    this.#switches.clear()
    this.#refused = [...this.#refused, refusal]
    this.tell('')
  }

  /** Generates a text with a model that was just opened. */
  async begin(): Promise<void> {
    if (this.#isFallback) this.#controls.settings = { ...this.#controls.settings, planner: 'shadow' }
    this.#isFallback = false
    await this.write()
  }

  /** Shows the trace that was computed when the page was built, until the model is there; not if the address asks for another. */
  openFirst(trace: Trace): void {
    if (this.#trace || encodeState(this.#controls.state) !== '') return
    this.#isFirst = true
    this.#prompt = this.#controls.state.prompt
    this.#take(trace)
  }

  /** What is looked at. */
  get #view(): View {
    const [unit, another] = this.#units
    const isFirst = unit === undefined || sameCell(this.#cell, cellOf(FIRST_UNIT))
    return {
      token: this.#follows ? null : this.#column + 1,
      unit: isFirst || another !== undefined ? null : unit,
      compares: this.#compares,
      ...this.#switched,
    }
  }

  /** The units that are switched by hand. */
  get #switched(): Pick<View, 'off' | 'on'> {
    const [off, on] = [false, true].map((state) =>
      this.#switches.all.flatMap(({ unit, on: isOn }) => (isOn === state ? unit : [])),
    )
    return { off, on }
  }

  /** Says in the address what is looked at, once it is looked at for a moment: browsers refuse an address a frame. */
  #keepAddress(): void {
    clearTimeout(this.#keeping)
    if (!this.#trace || this.#isFirst) return
    this.#keeping = setTimeout(() => replaceFragment(encodeState(this.#controls.state, this.#view)), 300)
  }

  /** The current trace. */
  get trace(): Trace | null {
    return this.#trace
  }

  /** Shows a saved trace. */
  open(trace: Trace): void {
    this.#session.stop()
    this.#controls.settings = trace.settings
    this.#follows = false
    this.#column = 0
    this.#prompt = this.#controls.state.prompt
    this.#take(trace)
    this.#switches = new Switches(trace.switches)
  }

  /** Generates what the form asks for: the address no longer matters. */
  #writeAnew(): void {
    this.#refused = []
    void this.write()
  }

  /** Generates from the prompt of the form; errors are shown above the texts. */
  async write(): Promise<void> {
    if (!this.#controls.check()) return
    this.tell('')
    clearTraceAnswer()
    this.#isFormer = false
    const before = this.#trace
    const model = before?.model ?? this.#session.model
    if (model) this.#checkSwitches(model)
    this.#follows = true
    const { state, settings } = this.#controls
    const view = { ...this.#view, token: this.#asked.token }
    this.#asked = view
    replaceFragment(encodeState(state, view))
    try {
      const switches = this.#isOfModel ? this.#switches.all : []
      const writing = this.#session.write(state.prompt, settings, (trace) => this.#take(trace), switches)
      this.#prompt = state.prompt
      this.#refresh()
      await writing
    } catch (error) {
      if (settings.planner === 'shadow' && error instanceof ShadowError && error.code === 'PREDICTOR_MISSING')
        return this.#writeWithoutPredictor()
      const isEmpty = state.prompt === '' && error instanceof ShadowError && error.code === 'TOKENS'
      const line = isEmpty ? 'Type a prompt first: this model has no token to begin with' : messageOf(error)
      this.#isFormer = before !== null && this.#trace === before
      this.tell(this.#isFormer ? `${line}. Below is still the text before.` : line)
    }
    this.#refresh()
  }

  /** A model that has no predictor is still worth seeing: another planner takes over, and the page says so. */
  async #writeWithoutPredictor(): Promise<void> {
    this.#controls.settings = { ...this.#controls.settings, planner: 'griffin' }
    this.#isFallback = true
    await this.write()
    const { planner } = this.#controls.settings
    if (planner === 'griffin' && byId('problem').textContent === '')
      this.tell(
        'This model has no predictor. Instead, the neurons that the prompt uses most are kept, and all heads.',
      )
  }

  /** Shows an error in one line; an empty line clears it. What of the address was refused stands before it, until it is closed or something else is asked for. */
  tell(line: string): void {
    const refused = this.#refused.length === 0 ? [] : [`${this.#refused.join('; ')}. Using defaults instead.`]
    tellProblem([...refused, line].join(' ').trim())
  }

  #take(trace: Trace): void {
    this.#isFirst &&= this.#session.opt === null
    if (this.#trace && !isSameModel(this.#trace.model, trace.model)) this.#switches.clear()
    this.#checkSwitches(trace.model)
    if (this.#trace && this.#trace.columns.length > 0 && !hasPromptOf(trace, this.#trace))
      this.#former = this.#trace
    this.#trace = trace
    this.#isFormer = false
    const { shape } = trace.model
    const { kind, layer, span } = this.#cell ?? cellOf(FIRST_UNIT)
    if (layer >= shape.layers || span.end > shape[kind])
      this.#cell = cellOf({ kind: 'heads', layer: shape.layers - 1, index: 0 })
    if (this.#follows) this.#column = Math.max(0, trace.columns.length - 1)
    const { token } = this.#asked
    if (token !== null && token <= trace.columns.length) {
      this.#follows = false
      this.#column = token - 1
      // The model writes the first text again.
      if (!this.#isFirst) this.#asked = { ...this.#asked, token: null }
    }
    this.#refresh()
  }

  /** Reads the predictor of the model for the prompt of a trace. */
  async #readPredictor({ prompt, settings }: Trace): Promise<void> {
    if (this.#parts?.prompt === prompt) return
    this.#parts = { prompt, parts: null }
    const { opt } = this.#session
    const parts = settings.planner === 'shadow' ? await opt?.predictor(prompt).catch(() => null) : null
    if (this.#parts.prompt !== prompt) return
    this.#parts = { prompt, parts: parts ?? null }
    this.#refresh()
  }

  /** Looks at the first token: what follows the prompt. The sheet of a unit does not hide what is told of it. */
  lookAtFirst(): void {
    this.#inspector.close()
    this.#choose(0, this.#cell)
  }

  /** Scrolls so far that the sheet of the inspector does not hide a place in the window. */
  #showAbove({ bottom }: DOMRect): void {
    const hidden = bottom + SHEET_MARGIN - (this.#inspector.sheetTop ?? Infinity)
    if (hidden > 0) scrollBy({ top: hidden, behavior: avoidsMotion() ? 'auto' : 'smooth' })
  }

  #choose(column: number, cell: Cell | null): void {
    if (cell !== this.#cell) this.#inspector.open()
    this.#change(() => {
      this.#follows &&= column === (this.#trace?.columns.length ?? 0) - 1
      this.#column = column
      this.#cell = cell
    })
    this.#keepAddress()
  }

  #change(work: () => void): void {
    work()
    this.#refresh()
  }

  /** Whether the open model is the model of the trace. */
  get #isOfModel(): boolean {
    const { model } = this.#session
    const own = this.#trace?.model
    return model && own ? isSameModel(model, own) : model !== null
  }

  #show(): void {
    const { settings } = this.#controls
    const trace = this.#trace
    const cell = this.#cell
    if (trace && !this.#masks?.areOf(trace, settings)) this.#masks = new Masks(trace, settings)
    const masks = this.#masks
    const { opt } = this.#session
    const isWriting = this.#session.isWriting || this.#isFirst
    this.#controls.show({ isWriting: this.#session.isWriting, canWrite: opt !== null })
    byId('texts').toggleAttribute('data-first', this.#isFirst)
    const isOther = trace !== null && this.#prompt !== this.#controls.state.prompt
    if (isOther)
      byId('example').textContent = 'The texts are those of the prompt before: Generate writes yours.'
    pageDocument().body.classList.toggle('former', this.#isFormer || isOther)
    byId<HTMLButtonElement>('save').disabled = !trace || isWriting || trace.columns.length === 0
    const byHand = trace ? this.#switches.inText(trace) : []
    const isAhead = trace !== null && !isWrittenUnder(trace, byHand)
    const inText = trace && masks && switchUnits(masks.ofColumn(trace, this.#column), byHand)
    const { sparsity, scope } = trace?.settings ?? settings
    const isOfOther = sparsity !== settings.sparsity || scope !== settings.scope || isAhead
    pageDocument().body.classList.toggle('stale', isOfOther)
    showPlanner(trace?.settings ?? settings, trace, isWriting, isAhead)
    showOverview(trace, masks, inText && { mask: inText, byHand }, this.#column, isWriting)
    showChanged(trace && masks ? changedUnits(trace, this.#former, masks) : null, trace?.decisions.length)
    showDrawn((trace?.settings ?? settings).temperature)
    showSwitched(this.#switches.size)
    this.#texts.show(trace, this.#column)
    byId('timeline').classList.toggle('equal', settings.decides === 'once')
    this.#timeline.show({
      trace,
      masks: masks && { of: masks, compares: this.#compares, switches: byHand },
      column: this.#column,
      cell,
    })
    if (!trace || !masks || trace.columns.length === 0) {
      const shape = trace?.model.shape ?? this.#session.model?.shape
      const isPredicted = (trace?.settings ?? settings).planner === 'shadow'
      this.#network.show(
        shape ? { shape, decided: null, cell: null, compares: false, hasPredictor: isPredicted } : null,
        '',
      )
      this.#predictor.show({ parts: null, scores: null, mask: null, denseLayers: 0, isPredicted })
      showHeadline(factsOf(trace, null, isWriting))
      return this.#inspector.show(null)
    }
    const decided = masks.ofColumn(trace, this.#column)
    const mask = this.#switches.apply(decided)
    const inspected = this.#inspect(trace, masks, decided, mask)
    const { shape } = trace.model
    const isPredicted = trace.settings.planner === 'shadow'
    this.#network.show(
      {
        shape,
        decided: { trace, masks, column: this.#column, mask, switches: this.#switches },
        cell,
        compares: this.#compares,
        hasPredictor: isPredicted,
      },
      inspected?.title ?? '',
    )
    const own = this.#parts?.prompt === trace.prompt ? this.#parts.parts : null
    const { denseLayers } = trace
    const scores = decisionOf(trace, this.#column)
    this.#predictor.show({ parts: own, scores, mask: decided, denseLayers, isPredicted })
    if (!isWriting && this.#isOfModel) void this.#readPredictor(trace)
    showHeadline(factsOf(trace, inText, isWriting))
    const switched = this.#switches.size > 0 ? mask : null
    if (inspected) this.#next.ask(this.#isOfModel ? trace : null, this.#column, decided, switched)
    this.#inspector.show(inspected && { ...inspected, next: this.#isFirst ? [] : this.#next.shown })
  }

  /** One line about a cell, or about the predictor. */
  #describe(what: Cell | 'predictor'): string {
    if (what === 'predictor')
      return 'The predictor: it scores every head and neuron of the layers after it. Choose it to look inside.'
    const { kind, layer, span } = what
    const { start, end } = span
    const count = end - start
    const name = kind === 'heads' ? 'Head' : 'Neuron'
    const which = count > 1 ? `${name}s ${start} to ${end - 1}` : `${name} ${start}`
    const title = `${which} of layer ${layer}`
    const trace = this.#trace
    if (!trace || !this.#masks || trace.columns.length === 0) return `${title}.`
    if (layer < trace.denseLayers) return `${title}: always computed.`
    const mask = this.#switches.apply(this.#masks.ofColumn(trace, this.#column))
    const units = Array.from({ length: count }, (_, i): Unit => ({ kind, layer, index: start + i }))
    const kept = units.filter((unit) => isAnyOn([unit], mask)).length
    const switched = count === 1 ? this.#switches.get(units[0]) : null
    const state =
      switched !== null
        ? `switched ${switched ? 'on' : 'off'} by hand`
        : count > 1
          ? `${kept} of ${count} kept`
          : kept > 0
            ? 'kept'
            : 'skipped'
    const { unit, facts } = this.#best(units, trace, this.#masks, mask)
    if (!facts.ranked) return `${title}: ${state}.`
    const { score, above, ties, of } = facts.ranked
    const best = count > 1 ? ` The best, ${unit.index}: score` : ' Score'
    return `${title}: ${state}.${best} ${brief(score)}, ${rankWords(above, ties, of)}.`
  }

  /** The unit that represents some: the one with the highest score. */
  #best(
    units: readonly Unit[],
    trace: Trace,
    { budget }: Masks,
    mask: UnitMask,
  ): { readonly unit: Unit; readonly facts: UnitFacts } {
    const scores = decisionOf(trace, this.#column)
    const all = units.map((unit) => ({
      unit,
      facts: scores ? unitFacts(unit, scores, mask, budget) : { kept: true, ranked: null },
    }))
    return all.reduce((best, own) =>
      (own.facts.ranked?.above ?? 0) < (best.facts.ranked?.above ?? 0) ? own : best,
    )
  }

  /** The units of the chosen cell. */
  get #units(): Unit[] {
    const cell = this.#cell
    if (!cell) return []
    const { kind, layer, span } = cell
    return Array.from({ length: span.end - span.start }, (_, i) => ({ kind, layer, index: span.start + i }))
  }

  /** @param decided the mask of the column @param switched the same with switches */
  #inspect(
    trace: Trace,
    masks: Masks,
    decided: UnitMask,
    switched: UnitMask,
  ): Omit<InspectorState, 'next'> | null {
    const cell = this.#cell
    if (!cell) return null
    const units = this.#units
    const { unit, facts } = this.#best(units, trace, masks, decided)
    const isOfOracle = trace.settings.planner === 'oracle'
    const oracle = isOfOracle ? null : oracleFacts(unit, trace, masks, decided)
    const isSwitched = units.some((one) => this.#switches.get(one) !== null)
    const isOn = isAnyOn(units, switched)
    return {
      title: titleOf(unit),
      about: aboutUnits(units, switched),
      unit,
      shape: trace.model.shape,
      planner: plannerNames[trace.settings.planner],
      criterion: criterionOf(trace),
      facts,
      oracle,
      isOn,
      isSwitched,
      switches: this.#switches.size,
      canSwitch: canSwitch(unit, trace),
      nextOf: `Token ${this.#column + 1}, after “… ${textBefore(trace, this.#column)}”`,
      switchLabel: `Switch ${units.length > 1 ? 'the bin' : 'it'} ${isOn ? 'off' : 'on'}`,
    }
  }

  #toggle(): void {
    if (!this.#trace || !this.#masks) return
    const decided = this.#masks.ofColumn(this.#trace, this.#column)
    const units = this.#units
    if (units.length === 0 || !canSwitch(units[0], this.#trace)) return
    const on = !isAnyOn(units, this.#switches.apply(decided))
    for (const unit of units) this.#switches.set(unit, on === isAnyOn([unit], decided) ? null : on)
    this.#refresh()
    this.#keepAddress()
  }

  #unswitch(): void {
    this.#change(() => this.#switches.clear())
    this.#keepAddress()
  }
}

/** The last tokens before a column. */
function textBefore({ pieces, columns }: Trace, column: number): string {
  const written = columns.slice(0, column).map(({ text }) => text)
  return [...pieces, ...written].slice(-3).join('').trim()
}

/** The facts of a unit by the oracle's scores; of equal scores, the oracle keeps those of the mask. */
function oracleFacts(unit: Unit, trace: Trace, masks: Masks, mask: UnitMask): UnitFacts | null {
  const [needed, nearest] = [masks.needed(trace), masks.nearest(trace, mask)]
  if (!trace.oracleScores || !needed || !nearest) return null
  return {
    ...unitFacts(unit, trace.oracleScores, needed, masks.budget),
    kept: nearest[unit.kind][placeOf(unit, nearest)] !== 0,
  }
}

function openPredictor(): void {
  showInSight(byId('predictor'))
}

/** Ends what is said of a trace that was saved or opened: what is shown is no longer that trace. */
function clearTraceAnswer(): void {
  byId('trace-answer').textContent = ''
}

/** Whether any of some units is computed under a mask. */
function isAnyOn(units: readonly Unit[], mask: UnitMask): boolean {
  return units.some((unit) => mask[unit.kind][placeOf(unit, mask)] !== 0)
}

/** What a unit does; of a bin, how many of its units are kept. */
function aboutUnits(units: readonly Unit[], mask: UnitMask): string {
  const [{ kind, index }] = units
  if (units.length === 1)
    return kind === 'heads' ? 'A head looks back at the earlier words.' : 'A neuron watches for one pattern.'
  const kept = units.filter((unit) => isAnyOn([unit], mask)).length
  return `The best of ${index} to ${index + units.length - 1}; ${kept} kept.`
}

function titleOf({ kind, layer, index }: Unit): string {
  return `${kind === 'heads' ? 'Head' : 'Neuron'} ${index} of layer ${layer}`
}

/** The criterion behind the scores of a trace, in words. */
function criterionOf({ settings, ranks }: Trace): string {
  const { planner, criterion } = settings
  const words: Readonly<Record<StudyPlanner, string>> = {
    shadow: `${ranks ?? 'scores'}, predicted`,
    'prompt-plainact': `${criterion} of the prompt`,
    griffin: 'use by the prompt',
    coreinfer: 'tokens of the prompt',
    oracle: `${criterion} of the text`,
    random: 'random numbers',
    static: `mean ${ranks ?? 'score'} over a calibration`,
    dense: 'none',
  }
  return words[planner]
}
