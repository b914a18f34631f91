# Mixture of linear regressions by flexmix, from given responsibilities; only the fit is timed.
# Rscript flexmix.R rows.csv gate(yes|no) tolerance rounds; the table has columns y, x1.., r1.. (responsibilities).
suppressMessages(library(flexmix))
given <- commandArgs(TRUE)
rows <- read.csv(given[1])
posterior <- as.matrix(rows[grep("^r", names(rows))])
covariates <- grep("^x", names(rows), value = TRUE)
experts <- reformulate(covariates, "y")
gate <- if (given[2] == "yes") FLXPmultinom(reformulate(covariates)) else FLXPconstant()
control <- list(tolerance = as.numeric(given[3]), iter.max = 5000, minprior = 0)
seconds <- Inf
for (round in seq_len(as.integer(given[4]))) {
  taken <- system.time(fit <- flexmix(experts, data = rows, k = ncol(posterior), cluster = posterior,
                                      concomitant = gate, control = control))["elapsed"]
  seconds <- min(seconds, taken)
}
cat(sprintf('{"seconds": %.6f, "iterations": %d, "loglik": %.10f, "version": "%s"}\n',
            seconds, fit@iter, as.numeric(logLik(fit)), packageVersion("flexmix")))
