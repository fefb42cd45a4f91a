/**
 * Laws that run anywhere: `verify` tries them on backends, and `suite` is their list.
 *
 * @module
 */
export { suite, type SuiteLaw } from './suite.ts'
export { digestOfReports } from './digest.ts'
export { NO_BACKEND, type Law, type Verdict, type Case } from './law.ts'
export {
  tryingsOf,
  verify,
  verifyBackends,
  type LawReport,
  type TryOptions,
  type VerifyOptions,
} from './verify.ts'
