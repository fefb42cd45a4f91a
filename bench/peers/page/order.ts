/**
 * What the page is asked for; it can be sent as JSON.
 */
import type { Subject } from '../models.ts'

/** A model and how it is to be timed. Its files are where `files` says: `FORMAT.gguf` below this address. */
export interface PageOrder extends Pick<
  Subject,
  'name' | 'weights' | 'config' | 'exact' | 'formats' | 'predictor'
> {
  readonly files: string
  readonly threads: number
  readonly rounds: number
}
