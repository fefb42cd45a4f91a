/**
 * mse is the mean of squared errors.
 */
import * as laws from '../harness/laws/mse.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
