# Mixture of linear regressions with constant weights by mixtools, from given parameters; only the fit is timed.
# Rscript mixtools.R rows.csv start.csv tolerance rounds; the start has columns weight, variance, b0, b1.. (a row each).
suppressMessages(library(mixtools))
given <- commandArgs(TRUE)
rows <- read.csv(given[1])
start <- read.csv(given[2])
x <- as.matrix(rows[grep("^x", names(rows))])
beta <- t(as.matrix(start[grep("^b", names(start))]))
seconds <- Inf
for (round in seq_len(as.integer(given[4]))) {
  quiet <- capture.output(
    taken <- system.time(fit <- regmixEM(rows$y, x, lambda = start$weight, beta = beta, sigma = sqrt(start$variance),
                                         k = nrow(start), epsilon = as.numeric(given[3])))["elapsed"])
  seconds <- min(seconds, taken)
}
cat(sprintf('{"seconds": %.6f, "iterations": %d, "loglik": %.10f, "version": "%s"}\n',
            seconds, length(fit$all.loglik) - 1L, fit$loglik, packageVersion("mixtools")))
