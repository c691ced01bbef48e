-- What a sink said last of a delivery is its response, as the attempts of a delivery are called elsewhere; NULL means that
-- it has said nothing yet, or has taken the delivery.
ALTER TABLE deliveries RENAME COLUMN answer TO response;
