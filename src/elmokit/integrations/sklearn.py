"""scikit-learn: ELMo vectors as a step of a pipeline (`GridSearchCV`, `ColumnTransformer` …)."""

from elmokit.tasks.vectorizer import ElmoVectorizer as ElmoVectorizer
