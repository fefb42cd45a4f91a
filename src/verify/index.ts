/**
 * The laws, to be run anywhere: `verify` tries them on backends, `book` is the list of them.
 */
export { book, type ChapterLaw } from './book.ts'
export { digestOfReports } from './digest.ts'
export type { Law } from './law.ts'
export {
  NO_BACKEND,
  tryingsOf,
  verify,
  verifyBackends,
  type LawReport,
  type TryOptions,
  type VerifyOptions,
} from './verify.ts'
