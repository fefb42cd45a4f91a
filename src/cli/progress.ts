/**
 * A progress line on stderr: stage, bar, share, time left, a note.
 *
 * On a terminal it is drawn at most ten times a second, and removed before anything else is written. Elsewhere it is a line of its own
 * for each half minute.
 */
import { now } from '../platform/platform.ts'
import { shownLine } from '../tensor/quote.ts'
import { ERASE_LINE, type Text } from './screen.ts'

/** How far a piece of work is. */
export interface ProgressUpdate {
  readonly stage: string
  readonly done: number
  /** Infinity where it is not known: then there is no bar. */
  readonly total: number
  /** The time left of the whole work, if the work estimates it; default: by the pace of the stage. */
  readonly secondsLeft?: number | null
  /** Such as a loss. */
  readonly note?: string
}

/** A line that is drawn over and over. */
export interface ProgressLine {
  update(update: ProgressUpdate): void
  /** Removes the line; the next update draws it again. */
  clear(): void
}

/** Where a progress line is drawn. */
export interface ProgressScreen {
  readonly watched: boolean
  readonly columns: () => number
  readonly write: (text: Text) => void
  readonly now: () => number // ms
}

const redrawAfter = 100 // ms
const tellAfter = 30_000 // ms
const tellWaiting = 300 // ms
const barWidth = 24

/** A progress line. */
export function makeProgressLine(screen: ProgressScreen): ProgressLine {
  const { watched } = screen
  let stage = ''
  let stageStart = 0
  let drawnAt = watched ? -Infinity : screen.now()
  let drawn = false
  return {
    update(update) {
      const time = screen.now()
      const isNew = update.stage !== stage
      if (isNew) {
        stage = update.stage
        stageStart = time
      }
      if (watched ? !isNew && time - drawnAt < redrawAfter : time - drawnAt < tellAfter) return
      drawnAt = time
      drawn = watched
      const text = shownLine(formatProgress(update, time - stageStart))
      screen.write(watched ? [ERASE_LINE, text.slice(0, Math.max(0, screen.columns() - 1))] : [text, '\n'])
    },
    clear() {
      if (!drawn) return
      screen.write(ERASE_LINE)
      drawn = false
      drawnAt = -Infinity
    },
  }
}

/** The line itself; `elapsed` is the milliseconds its stage has taken. */
export function formatProgress(update: ProgressUpdate, elapsed: number): string {
  const { stage, done, total, secondsLeft, note } = update
  if (total === Infinity) return note === undefined ? stage : `${stage}  ${note}`
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0
  const filled = Math.round(share * barWidth)
  const bar = '#'.repeat(filled) + '-'.repeat(barWidth - filled)
  const percent = `${Math.floor(share * 100)}`.padStart(3)
  const seconds = secondsLeft ?? (share > 0 && share < 1 ? (elapsed / share - elapsed) / 1000 : null)
  // What the work estimates is told as the end of all, beside the share of a stage.
  const of = secondsLeft === null || secondsLeft === undefined ? '' : ' in all'
  const left = seconds === null ? '' : `  ${formatSeconds(seconds)} left${of}`
  return `${stage.padEnd(9)}  [${bar}] ${percent} %${left}${note === undefined ? '' : `  ${note}`}`
}

/** 75 is "1:15", 3700 is "1:01:40". */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const two = (value: number): string => String(value).padStart(2, '0')
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor(whole / 60) % 60
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`
}

/** Shows a stage whose end is not known, and how long it has taken, once it takes long enough to be noticed. @returns ends and removes it */
export function showWaiting({ update, clear }: ProgressLine, stage: string): () => void {
  const start = now()
  const tell = (): void =>
    update({ stage, done: 0, total: Infinity, note: `${((now() - start) / 1000).toFixed(1)} s` })
  const timer = setInterval(tell, tellWaiting)
  return () => {
    clearInterval(timer)
    clear()
  }
}
