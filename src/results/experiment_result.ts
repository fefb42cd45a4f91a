/**
 * What an experiment hands over: plain data, the same for every experiment, that the terminal, JSON and the HTML report
 * show without knowing what was measured.
 *
 * Nothing here computes or formats. Numbers are kept as they were measured; how many digits are worth showing is said
 * by the column. What was not measured is null, never 0 or NaN.
 */
import type { MeasuredRun } from './measured_run.ts'
import type { Provenance } from './provenance.ts'

/** One column of a table. */
export interface Column {
  /** Of the value in each row. */
  readonly key: string
  /** The heading, without the unit. */
  readonly label: string
  /** What the numbers are counted in, such as `%` or `tokens/s`. */
  readonly unit?: string
  /** Digits after the decimal point; without it, four significant digits. */
  readonly digits?: number
}

/** Values by the keys of columns; null for what was not measured. */
export type Row = Readonly<Record<string, string | number | null>>

/** One point of a series. */
export interface PlotPoint {
  /** A number on a line; the name of a bar. */
  readonly x: number | string
  readonly y: number
  /** One standard error, drawn to both sides. */
  readonly error?: number
}

/** What is drawn in one colour, with one name. */
export interface PlotSeries {
  readonly name: string
  readonly points: readonly PlotPoint[]
}

/** One figure. Labels of axes name the unit, as in `decode speed (tokens/s)`. */
export interface Plot {
  readonly title: string
  readonly kind: 'line' | 'bar'
  readonly x: { readonly label: string }
  readonly y: { readonly label: string; readonly scale?: 'linear' | 'log' }
  readonly series: readonly PlotSeries[]
}

/** Figures that others published for the same question. */
export interface PaperFigures {
  readonly columns: readonly Column[]
  readonly rows: readonly Row[]
  /** Where a reader finds them, and on which model they were measured. */
  readonly source: string
}

/** What one method really skipped, layer by layer: shares from 0 to 1. */
export interface LayerSparsity {
  /** Which method, as its row names it. */
  readonly name: string
  readonly heads: readonly number[] // [L]
  readonly neurons: readonly number[] // [L]
}

/** The result of an experiment. */
export interface ExperimentResult {
  /** What `--experiment` calls it. */
  readonly name: string
  readonly title: string
  /** The question, and the section or figure of the paper that asks it. */
  readonly asks: string
  /** The exact command that makes this result again. */
  readonly command: string
  readonly columns: readonly Column[]
  readonly rows: readonly Row[]
  readonly plots: readonly Plot[]
  readonly paper: PaperFigures | null
  /** What the numbers say, a sentence each; what does not hold is said as plainly as what does. */
  readonly findings: readonly string[]
  /** Where masks were made. */
  readonly layers?: readonly LayerSparsity[]
  /** Where windows were scored: what each of them cost under each method. */
  readonly measured?: readonly MeasuredRun[]
  readonly provenance: Provenance
  /** False if the run was stopped; the rows then hold what was finished. */
  readonly complete: boolean
  readonly seconds: number
}
